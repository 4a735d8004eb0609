"""Rate control: steps per frame, working size, and the start from coarse pyramid levels."""

from dataclasses import replace

import pytest
from conftest import FAST_SETTINGS, scene

from vidstyle import Frame, Report, Settings, Stylizer
from vidstyle.live.pyramid_start import (
    FINAL_FRAME_STEPS,
    FINAL_LEVEL_STEPS,
    MIN_COARSE_PX,
    MIN_FRAME_STEPS,
    PyramidStart,
)
from vidstyle.live.rate_control import (
    GROWTH_SECONDS,
    LATE_SHARE,
    LEGIBLE_PX,
    PLANNED_SHARE,
    SLOW_FPS,
    FrameRateController,
)

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)


@pytest.fixture
def after(features, style):
    """Returns (controller, stylizer, a function that reports a frame of so many seconds)."""

    def make(fps, working_size, camera=(640, 480), **settings):
        chosen = replace(QUICK, working_size=working_size, **settings)
        stylizer = Stylizer(features, style, chosen)
        controller, report = FrameRateController(fps, 8), Report(5, frame=Frame(scene(size=camera)))

        def stylized(seconds, steps=None):
            report.frames += 1
            report.iterations = [None] * (steps or stylizer.settings.steps)
            report.seconds["stylize"] += seconds
            controller.adjust(stylizer, report)
            return stylizer.settings

        return controller, stylizer, stylized

    return make


def test_frame_rate_controller_chooses_steps(after):
    controller, _, stylized = after(10, 64, steps=2)
    for seconds, expected in ((0.02, 3), (0.02, 4), (0.15, 3), (0.15, 2), (0.001, 3)):
        assert stylized(seconds).steps == expected
    controller.max_steps = 2
    assert stylized(0.001).steps == 2


def test_frame_rate_controller_fills_the_slow_interval_where_no_step_fits(after):
    _, stylizer, stylized = after(30, 320)
    for _ in range(8):  # 40 ms a step: more than the camera's interval of 33 ms
        steps = stylized(0.04 * stylizer.settings.steps).steps
    assert steps == int(PLANNED_SHARE / SLOW_FPS / 0.04) == 2


@pytest.mark.parametrize("fps, seconds", [(30, 0.45), (1, 2.5), (10, 0.2)])
def test_frame_rate_controller_shrinks_after_late_seconds(after, fps, seconds):
    _, _, stylized = after(fps, 512)
    frames = 1
    while stylized(seconds).working_size == 512:
        frames += 1
    slowest = min(fps, SLOW_FPS)
    expected = max(LEGIBLE_PX, round(512 * (PLANNED_SHARE / slowest / seconds) ** 0.5))
    assert frames == 2 and stylized(0.001).working_size == expected


def test_frame_rate_controller_keeps_the_size_where_frames_in_between_are_shown(after):
    _, _, stylized = after(30, 512)
    for _ in range(50):  # 10 frames per second of a camera with 30
        assert stylized(0.1).working_size == 512


def test_frame_rate_controller_keeps_legible_sizes(after):
    _, _, stylized = after(30, 400)
    for _ in range(50):
        size = stylized(3.0).working_size
    assert size == LEGIBLE_PX
    _, _, stylized = after(30, 200)
    for _ in range(50):
        assert stylized(3.0).working_size == 200  # as the user asked


def test_frame_rate_controller_ignores_single_late_frames_and_grows_again(after):
    controller, _, stylized = after(5, 500)
    for _ in range(20):
        assert stylized(0.8).working_size == 500 and stylized(0.1).working_size == 500
    late = 0
    while stylized(0.2 * LATE_SHARE + 0.01).working_size == 500:
        late += 1
    assert late < 5 and "400 px" in controller.note
    while stylized(0.4).working_size == 400:
        pass
    assert stylized(0.1).working_size == LEGIBLE_PX
    sizes = [stylized(0.01).working_size for _ in range(round(12 * GROWTH_SECONDS * 5))]
    assert sizes == sorted(sizes) and sizes[-1] == 500 and not controller.note


def test_pyramid_start_goes_from_coarse_to_fine():
    start, sizes = PyramidStart(400, 2), []
    while start.size_px is not None:
        sizes.append(start.size_px)
        start.advance(start.frame_steps)
    assert sizes == sorted(sizes) and list(dict.fromkeys(sizes)) == [144, 240, 400]
    assert all(sizes.count(size) > 1 for size in sizes)


def test_pyramid_start_skips_levels_that_save_nothing():
    small = PyramidStart(MIN_COARSE_PX, 2)
    assert small.size_px == MIN_COARSE_PX
    limited = PyramidStart(600, 2)
    assert limited.size_px == 216
    limited.limit(320)
    assert limited.size_px == 115
    limited.limit(160)
    assert limited.size_px == 96


def test_frame_rate_controller_start_is_coarse_to_fine(after):
    controller, stylizer, stylized = after(30, 400)
    controller.restart(stylizer, (640, 480))
    sizes = [stylizer.settings.working_size] + [stylized(0.02).working_size for _ in range(30)]
    assert list(dict.fromkeys(sizes)) == [144, 240, 400] and not controller.note


def test_frame_rate_controller_start_takes_most_steps_at_the_final_size(after):
    controller, stylizer, stylized = after(30, 320)
    controller.restart(stylizer, (640, 480))
    taken = []
    for _ in range(40):
        taken.append((stylizer.settings.working_size, stylizer.settings.steps))
        stylized(0.02 * stylizer.settings.steps)
    final = [steps for size, steps in taken if size == 320]
    many = final.count(FINAL_FRAME_STEPS) * FINAL_FRAME_STEPS
    assert FINAL_LEVEL_STEPS <= many <= FINAL_LEVEL_STEPS + FINAL_FRAME_STEPS
    assert final[-1] < FINAL_FRAME_STEPS


def test_frame_rate_controller_start_takes_few_steps_a_frame_where_steps_are_slow(after):
    controller, stylizer, stylized = after(30, 320)
    controller.restart(stylizer, (640, 480))
    assert stylized(0.2 * stylizer.settings.steps).steps == MIN_FRAME_STEPS
    for _ in range(9):
        steps = stylized(0.02 * stylizer.settings.steps).steps
    assert steps == FINAL_FRAME_STEPS


def test_frame_rate_controller_start_keeps_the_default_size(after):
    controller, stylizer, stylized = after(30, None, (160, 120))
    controller.restart(stylizer, (160, 120))
    assert stylizer.settings.working_size == 96
    for _ in range(30):
        size = stylized(0.01).working_size
    assert size is None  # the setting of the user


def test_frame_rate_controller_start_ends_at_what_the_machine_can_do(after):
    controller, stylizer, stylized = after(30, 640)
    controller.restart(stylizer, (640, 480))
    sizes = [stylizer.settings.working_size]
    for _ in range(40):
        pixels = (sizes[-1] / 640) ** 2
        sizes.append(stylized(2 * pixels * stylizer.settings.steps).working_size)
    assert sizes[-1] == LEGIBLE_PX == max(sizes) and "320 px" in controller.note
    controller.restart(stylizer, (640, 480), 1)  # another style
    sizes = [stylized(0.2).working_size for _ in range(20)]
    assert sizes[0] == 192 and sizes[-1] == LEGIBLE_PX


def test_frame_rate_controller_keeps_one_size_for_compiled_programs(after):
    controller, stylizer, _ = after(30, 400, engine="compile")
    controller.restart(stylizer, (640, 480))
    assert stylizer.settings.working_size == 400
