"""Painted keyframes: paintings of single frames, carried along the motion of a clip."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from conftest import QUICK_FLAGS, painter, pixels_of, pixels_of_render, scene, write_clip

from vidstyle import Frame, InputError, Settings
from vidstyle.cli.main import main
from vidstyle.distributed.tasks import Clip
from vidstyle.flow.correspondence import MAX_FRAMES, Correspondence, correspondences
from vidstyle.flow.methods import dis_flow
from vidstyle.io.images import write_image
from vidstyle.job import RenderJob
from vidstyle.painted_keyframes import _blended, painted_keyframes, parse_painted_keyframes
from vidstyle.stylizer.regions import Region
from vidstyle.time_text import parse_time

RATE = Fraction(10)


def texture(size=(96, 64), seed=0):
    """(H, W, 3) uint8: soft blobs that optical flow can follow."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (size[1] // 4, size[0] // 4, 3)).astype(np.uint8)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def pan(count, step=2, seed=0):
    """Frames of a camera that moves over a texture, ``step`` px per frame to the right."""
    ground = texture((96 + step * count, 64), seed)
    return [
        Frame(np.ascontiguousarray(ground[:, step * n : step * n + 96]), n / RATE)
        for n in range(count)
    ]


def found_around(frames, time):
    return correspondences(frames, lambda frame: frame.clip_time >= time, dis_flow)


def test_correspondence_adds_up_the_motion_in_both_directions():
    found = found_around(pan(9), Fraction(4, 10))
    assert list(found) and len(found) == 9
    for number in (0, 2, 4, 6, 8):
        match = found[number / RATE]
        inner = match.flow[16:-16, 24:-24]
        # Two px per frame; flow of single pairs errs by a tenth of that.
        assert np.median(inner[..., 0]) == pytest.approx(2 * (number - 4), abs=0.5)
        assert abs(np.median(inner[..., 1])) < 0.5
        assert match.confidence[16:-16, 24:-24].mean() > 200
    assert found[8 / RATE].confidence[:, -6:].mean() < 60  # has come into view
    assert found[0 / RATE].confidence[:, :6].mean() < 60  # goes out of view


def test_correspondence_ends_at_cuts():
    shots = [*pan(4), *pan(4, seed=1), *pan(4, seed=2)]
    frames = [replace(frame, time=n / RATE) for n, frame in enumerate(shots)]
    assert set(found_around(frames, 5 / RATE)) == {n / RATE for n in range(4, 8)}
    assert found_around(frames, Fraction(9)) == {}


def test_correspondence_of_a_still_shot_fades_at_its_reach():
    image = texture((32, 32))
    frames = [Frame(image, n / RATE) for n in range(MAX_FRAMES + 20)]
    found = found_around(frames, Fraction(0))
    assert len(found) == MAX_FRAMES + 1
    means = [found[n / RATE].confidence.mean() for n in (0, MAX_FRAMES // 2, MAX_FRAMES)]
    assert means[0] == 255 and means[1] > 250 and means[2] < 15
    assert not found[10 / RATE].displacement.any()


def test_correspondence_finds_again_what_was_hidden():
    """A box passes over a texture at rest, which is the keyframe's again afterwards."""
    frames = []
    for number in range(8):
        image = texture()
        cv2.rectangle(image, (12 * number, 20), (12 * number + 16, 44), (250, 20, 20), -1)
        frames.append(Frame(image, number / RATE))
    found = found_around(frames, Fraction(0))
    match = found[7 / RATE]
    assert match.confidence[24:40, 30:60].mean() > 150
    assert np.abs(match.flow[24:40, 30:60]).mean() < 0.5


def test_painting_is_warped_at_its_own_size():
    flow = np.zeros((16, 24, 2), np.float32)
    flow[..., 0] = 3
    match = Correspondence.of(flow, np.full((16, 24), 0.5, np.float32), np.eye(3))
    image = np.zeros((32, 48, 4), np.uint8)
    image[:, 20:, 0] = image[..., 3] = 200
    moved = match.warped(image)
    assert np.array_equal(moved[:, 14:40, 0], image[:, 20:46, 0])
    assert set(np.unique(moved[..., 3])) <= {99, 100, 101}


def test_two_paintings_are_blended_by_weight_and_the_missing_one_does_not_count():
    red, blue = np.zeros((2, 1, 2, 4), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    red[..., 3], blue[..., 3] = 255, [[255, 0]]
    left, right = _blended([(red, 0.5), (blue, 0.5)])[0]
    assert left.tolist() == [100, 0, 100, 255] and right.tolist() == [200, 0, 0, 255]
    assert _blended([(red, 0.0), (blue, 1.0)])[0, 1].tolist() == [200, 0, 0, 255]
    red[..., 3] = 26  # hardly there: blue takes its share
    assert _blended([(red, 1.0), (blue, 0.0)])[0, 0].tolist() == [20, 0, 180, 255]


def test_frame_is_held_to_its_painting_and_only_there(features, style):
    painted = np.zeros((48, 64, 4), np.uint8)
    painted[:, :32] = 30, 200, 90, 255
    for first in (True, False):
        plain, held = painter(features, style), painter(features, style)
        for stylizer in (plain, held):
            if not first:
                stylizer(Frame(scene()))
        without = plain(Frame(scene())).image
        made = held(Frame(scene(), painted=painted))
        assert made.painted is None
        assert np.abs(made.image[:, :30].astype(int) - painted[:, :30, :3]).mean() < 3
        # Gram matrices are of the whole frame, so that the other half has slightly other strokes.
        distance = np.abs(made.image[:, 40:].astype(int) - without[:, 40:]).mean()
        assert distance < 0.4 * np.abs(without[:, 40:].astype(int) - scene()[:, 40:]).mean()


@pytest.mark.parametrize("region", [None, Region(None, {"strength": 0.0})])
def test_style_does_not_make_up_for_a_painting_in_what_it_fills_in(features, style, region):
    """Gram matrices of the whole frame would miss the style's contrast in a flat painting, and
    exaggerate it elsewhere."""
    corner = np.zeros((1, 48, 64), np.uint8)
    corner[:, :8, :8] = 255
    regions = {"regions": corner} if region else {}
    painted = np.zeros((48, 64, 4), np.uint8)
    painted[:, :48] = 120, 120, 120, 255
    settings = {"initial_steps": 80, "pyramid_levels": 1, "content_weight": 0.01}
    deviations = []
    for each in (None, painted):
        stylizer = painter(features, style, **settings)
        stylizer.regions = (region,) if region else ()
        made = stylizer(Frame(scene(), painted=each, **regions)).image
        deviations.append(made[:, 52:].std())
        assert region is None or np.array_equal(made[:8, :8], scene()[:8, :8])
    plain, beside = deviations
    assert beside < 1.25 * plain  # 1.56 with Gram matrices of the whole frame


def test_painting_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="painting must be a uint8 array"):
        Frame(scene(), painted=np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["painted.png"], "is not TIME=IMAGE"),
        (["0:03="], "is not TIME=IMAGE"),
        (["soon=a.png"], "not a valid time"),
        (["3=a.png", "0:03=b.png"], "the same time"),
    ],
)
def test_painted_keyframe_with_wrong_words_names_the_remedy(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_painted_keyframes(texts)


def test_time_of_a_frame_as_a_float_is_exact():
    assert Fraction(str(2 / 30)) > Fraction(2, 30)  # the painting would go to the next frame
    given = [3 * 0.1 - 0.3, 1001 / 30000, 2 / 30, 12.345]
    times = [each.time for each in painted_keyframes((time, "a.png") for time in given)]
    assert times == [0, Fraction(1001, 30000), Fraction(2, 30), Fraction("12.345")]
    for time in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a valid time"):
            parse_time(time)


@pytest.fixture
def moving(tmp_path):
    """A clip of 8 frames at 10 per second."""
    return write_clip(tmp_path / "in.mkv", count=8, rate=RATE, crf=1)


@pytest.fixture
def flat(tmp_path):
    """A painting in one colour, twice as large as the clip."""
    write_image(tmp_path / "flat.png", np.full((96, 128, 3), (20, 180, 60), np.uint8))
    return tmp_path / "flat.png"


def test_painted_keyframe_spreads_over_the_shot(
    tmp_path, features, features_file, style_file, moving, flat
):
    command = "render", *QUICK_FLAGS, "-q", moving, style_file, "-o", tmp_path / "out.mkv"
    command += "--features", features_file, "-c:v", "ffv1", "--keyframe", f"0.3={flat}"
    main([*map(str, command)])
    frames = pixels_of(tmp_path / "out.mkv")
    assert np.abs(frames[3].astype(int) - (20, 180, 60)).mean() < 4
    for frame in frames:  # the gradient, which is at rest
        assert np.abs(frame[30:, 48:].astype(int) - (20, 180, 60)).mean() < 8
    files = moving, style_file, tmp_path / "api.mkv"
    # A part of the clip is held to a painting of a frame before it.
    first = pixels_of_render(*files, features, start=0.5, painted={0.3: flat})[0]
    assert np.abs(first[30:, 48:].astype(int) - (20, 180, 60)).mean() < 8


def painted_of(job):
    with job.open_source() as source:
        return [frame.painted for frame in source]


def test_source_hands_over_from_one_painting_to_the_next(tmp_path, moving, flat):
    write_image(tmp_path / "b.png", np.full((48, 64, 3), (200, 20, 20), np.uint8))
    texts = [f"0={flat}", f"0.7={tmp_path / 'b.png'}"]
    found = painted_of(RenderJob(moving, "out.mkv", painted=parse_painted_keyframes(texts)))
    colors = [frame[40, 56, :3].tolist() for frame in found]
    assert colors[0] == [20, 180, 60] and colors[7] == [200, 20, 20]
    reds = [color[0] for color in colors]
    assert reds == sorted(reds) and 60 < reds[3] < 160


def test_source_has_no_painting_far_from_a_keyframe(tmp_path, flat):
    clip = write_clip(tmp_path / "long.mkv", count=MAX_FRAMES + 8, rate=RATE, size=(32, 32))
    write_image(flat, np.full((32, 32, 3), 90, np.uint8))
    found = painted_of(RenderJob(clip, "out.mkv", painted=parse_painted_keyframes([f"0={flat}"])))
    assert found[MAX_FRAMES] is not None and found[MAX_FRAMES + 1 :] == [None] * 7


def test_painted_keyframe_that_cannot_be_used_is_refused(tmp_path, moving, flat, picture_file):
    def open_with(text, name=moving):
        painted_of(RenderJob(name, "out.mkv", painted=parse_painted_keyframes([text])))

    with pytest.raises(InputError, match=r"nothing\.png"):
        open_with(f"0={tmp_path / 'nothing.png'}")
    write_image(tmp_path / "tall.png", np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(InputError, match=r"tall\.png is 48x64, another shape .* 64x48"):
        open_with(f"0={tmp_path / 'tall.png'}")
    with pytest.raises(InputError, match=r"before 60\.00 s: choose a time within"):
        open_with(f"1:00={flat}")
    with pytest.raises(InputError, match="is an image: name a clip"):
        open_with(f"0={flat}", picture_file)


def test_job_with_another_painting_is_not_resumed(tmp_path, moving, flat, monkeypatch):
    painted = parse_painted_keyframes([f"0.3={flat}"])
    job = RenderJob(moving, tmp_path / "out.mkv", painted=painted)
    before = job.identity(Settings())
    later = replace(painted[0], time=Fraction(1, 2))
    assert replace(job, painted=(later,)).identity(Settings()) != before
    write_image(flat, np.zeros((48, 64, 3), np.uint8))
    assert job.identity(Settings()) != before
    assert "flat.png" in job.tagged_encoding(Settings()).comment
    monkeypatch.chdir(tmp_path)
    near = replace(job, painted=parse_painted_keyframes(["0.3=flat.png"]))
    assert Clip.of(near, Settings()).job.painted[0].path == flat


def test_painted_keyframes_of_a_stopped_source_end_at_once(moving, flat):
    compared, stop = [], []

    def flow(frame, earlier):
        compared.append(frame)
        stop[0]()
        return dis_flow(frame, earlier)

    painted = parse_painted_keyframes([f"0.3={flat}"])
    job = RenderJob(moving, "out.mkv", painted=painted, flow=flow)
    with job.open_source() as source:
        frames = iter(source)
        stop.append(source.stop)
        assert next(frames).painted is None
    assert len(compared) <= 4  # both directions of a pair or two, of eight frames


def test_painted_keyframes_of_standard_input_are_refused(flat):
    job = RenderJob("-", "out.mkv", painted=parse_painted_keyframes([f"0={flat}"]))
    with pytest.raises(InputError, match="read twice: save standard input to a file"):
        job.open_source()


def test_painting_without_weight_changes_nothing(features, style):
    painted = np.full((48, 64, 4), 255, np.uint8)
    plain, held = (painter(features, style, painted_weight=0.0) for _ in range(2))
    for _ in range(2):
        made = held(Frame(scene(), painted=painted)).image
        assert np.array_equal(made, plain(Frame(scene())).image)


def test_transparent_parts_of_a_painting_do_not_darken_its_edges(tmp_path, moving):
    image = np.zeros((24, 32, 4), np.uint8)
    image[:, :16] = 200, 180, 90, 255
    write_image(tmp_path / "cut.png", image)
    keyframes = parse_painted_keyframes([f"0={tmp_path / 'cut.png'}"])
    found = painted_of(RenderJob(moving, "out.mkv", painted=keyframes))
    opaque = found[0][found[0][..., 3] > 60]
    assert np.abs(opaque[:, :3].astype(int) - (200, 180, 90)).max() <= 3
