"""Frame rate control: steps per frame and working size."""

from dataclasses import replace

import pytest
from conftest import FAST_SETTINGS, scene

from vidstyle import Frame, Report, Settings, Stylizer
from vidstyle.live.rate_control import (
    GROWTH_SECONDS,
    LATE_SHARE,
    MIN_WORKING_PX,
    PLANNED_SHARE,
    FrameRateController,
)

QUICK = Settings(working_size=64, initial_steps=2, steps=1, **FAST_SETTINGS)


def test_frame_rate_controller_chooses_steps(features, style):
    stylizer = Stylizer(features, style, replace(QUICK, steps=2))
    controller, report = FrameRateController(10, 8), Report(5, frame=Frame(scene(size=(320, 240))))
    for seconds, expected in ((0.02, 3), (0.02, 4), (0.15, 3), (0.15, 2), (0.001, 3)):
        report.iterations = [None] * stylizer.settings.steps
        report.seconds["stylize"] += seconds
        controller.adjust(stylizer, report)
        assert stylizer.settings.steps == expected
    controller.max_steps = 2
    controller.adjust(stylizer, report)
    assert stylizer.settings.steps == 2


@pytest.mark.parametrize("fps, seconds", [(30, 0.45), (1, 2.5), (10, 0.2)])
def test_frame_rate_controller_shrinks_after_late_seconds(features, style, fps, seconds):
    stylizer = Stylizer(features, style, replace(QUICK, working_size=512))
    controller = FrameRateController(fps, 8)
    report = Report(frame=Frame(scene(size=(640, 480))), iterations=[None])
    while stylizer.settings.working_size == 512:
        report.frames += 1
        report.seconds["stylize"] += seconds
        controller.adjust(stylizer, report)
    expected = max(MIN_WORKING_PX, round(512 * (PLANNED_SHARE / fps / seconds) ** 0.5))
    assert report.frames == 2 and stylizer.settings.working_size == expected


def test_frame_rate_controller_ignores_single_late_frames_and_grows_again(features, style):
    stylizer = Stylizer(features, style, replace(QUICK, working_size=200))
    controller = FrameRateController(10, 8)
    report = Report(5, frame=Frame(scene(size=(320, 240))), iterations=[None])

    def size_after(seconds):
        report.seconds["stylize"] += seconds
        controller.adjust(stylizer, report)
        return stylizer.settings.working_size

    for _ in range(20):
        assert size_after(0.4) == 200 and size_after(0.05) == 200  # late frames are single
    late = 0
    while size_after(0.1 * LATE_SHARE + 0.01) == 200:
        late += 1
    assert late < 5 and stylizer.settings.working_size == 160 and "160 px" in controller.note
    while size_after(0.2) == 160:
        pass
    assert stylizer.settings.working_size == MIN_WORKING_PX > 160 * (0.08 / 0.2) ** 0.5
    sizes = [size_after(0.01) for _ in range(round(12 * GROWTH_SECONDS * 10))]
    assert sizes == sorted(sizes) and sizes[-1] == 200 and not controller.note
