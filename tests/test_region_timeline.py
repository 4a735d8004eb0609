"""Timelines of regions: keyframes that change one part of the frame alone."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import QUICK_FLAGS, painter, pixels_of, pixels_of_render, scene, write_clip
from studio_session import make_previews_quick

import vidstyle as vs
from vidstyle import Frame, Motion, Settings
from vidstyle.cli.main import main
from vidstyle.distributed.tasks import Clip, Recipe, Shot, perform
from vidstyle.io.images import write_image
from vidstyle.io.mask_file import MaskFile
from vidstyle.job import RenderJob
from vidstyle.keyframes import make_timeline, parse_keyframe, read_timeline
from vidstyle.losses.base import FrameContext, Regions
from vidstyle.losses.temporal import TemporalLoss
from vidstyle.ops.tensors import to_tensor
from vidstyle.regions import RegionEntry, load_regions, parse_regions
from vidstyle.studio.preview import Previewer
from vidstyle.studio.preview_request import PreviewRequest
from vidstyle.stylizer.keyframe import Keyframe
from vidstyle.stylizer.regions import Region
from vidstyle.stylizer.timeline import Timeline
from vidstyle.stylizer.tracks import FADE_LEVELS

RATE = Fraction(10)

LEFT = np.zeros((48, 64), np.uint8)
LEFT[:, :32] = 255
"""A mask of the left half."""

LEFT_SIDE, RIGHT = slice(0, 30), slice(34, 64)
"""Columns of either half, without the border between them."""


@pytest.fixture
def left_file(tmp_path):
    write_image(tmp_path / "left.png", np.repeat(LEFT[..., None], 3, -1))
    return tmp_path / "left.png"


@pytest.fixture
def long_clip(tmp_path):
    return write_clip(tmp_path / "long.mkv", count=10, rate=RATE, crf=1)


def at(time, region=None, style=None, fade=0, easing="linear", **settings):
    return Keyframe(
        Fraction(str(time)), style, settings, Fraction(str(fade)), easing, region=region
    )


def regions_at(timeline, time):
    return timeline.look(Fraction(str(time))).regions


def test_timeline_changes_a_region_and_nothing_else(style):
    regions = Region(name="person"), Region(settings={"strength": 0.8}, name="sky")
    keyframes = [
        at(1, "person", strength=0.0, fade=2, easing="smooth"),
        at(1, "sky", content_weight=0.4),
        at(4, "2", strength=0.2, fade=1),
    ]
    timeline = Timeline(keyframes, style, Settings(strength=0.6), regions)
    before, during, after = (regions_at(timeline, time) for time in (0.5, 1.5, 4.5))
    assert before == regions
    smooth = 0.25**2 * (3 - 2 * 0.25)
    assert during[0].settings == {"strength": pytest.approx(0.6 * (1 - smooth))}
    assert during[1].settings == {"strength": 0.8, "content_weight": 0.4}
    assert after[0].settings == {"strength": 0.0}
    assert after[1].settings == {"strength": pytest.approx(0.5), "content_weight": 0.4}
    looks = [timeline.look(Fraction(time)) for time in (0, 2, 9)]
    assert len({str(look.settings) for look in looks}) == 1
    assert all(look.style is style and not look.fading for look in looks)


def test_timeline_fades_the_style_of_a_region(style, other):
    keyframes = [at(1, "1", other, fade=2)]
    timeline = Timeline(keyframes, style, Settings(), [Region()])
    (before,), (half,), (after,) = (regions_at(timeline, time) for time in (0, 2, 3))
    assert before.style is None and after.style is other and not after.fading
    assert half.style.weights == (FADE_LEVELS / 2, FADE_LEVELS / 2) and half.fading
    assert regions_at(timeline, 2)[0].style is half.style  # whose statistics are kept
    look = timeline.look(Fraction(2))
    assert look.style is style and look.settings["temporal_weight"] > 0


def test_region_goes_on_from_its_look_when_the_frame_changes_at_the_same_time(style, other):
    keyframes = [at(1, None, other, strength=0.0), at(1, "1", other, fade=2, strength=0.5)]
    timeline = Timeline(keyframes, style, Settings(), [Region()])
    (begun,), (half,) = (regions_at(timeline, time) for time in (1, 2))
    assert begun.style is style and begun.settings["strength"] == 1.0
    assert half.style.weights == (FADE_LEVELS / 2, FADE_LEVELS / 2)
    assert half.settings["strength"] == 0.75


def test_region_follows_the_frame_in_what_no_keyframe_of_it_changed(style, other):
    keyframes = [at(1, "1", strength=0.5), at(2, None, other, style_scale=2.0, strength=0.1)]
    timeline = Timeline(keyframes, style, Settings(), [Region()])
    assert regions_at(timeline, 3) == (Region(None, {"strength": 0.5}),)


def test_region_goes_back_to_following_the_frame(style, other):
    keyframes = [
        at(1, "1", other, strength=0.5),
        replace(at(2, "1", fade=2), follows=("style", "strength")),
        at(5, None, other, strength=0.2),
    ]
    timeline = Timeline(keyframes, style, Settings(), [Region(style, {"strength": 0.8})])
    assert regions_at(timeline, 0) == (Region(style, {"strength": 0.8}),)
    assert regions_at(timeline, 1) == (Region(other, {"strength": 0.5}),)
    (half,) = regions_at(timeline, 3)
    assert half.style.weights == (FADE_LEVELS / 2, FADE_LEVELS / 2) and half.fading
    assert half.settings == {"strength": 0.75}
    assert regions_at(timeline, 4) == regions_at(timeline, 6) == (Region(),)


def test_region_that_follows_a_fading_frame_fades_to_where_the_frame_is(style, other):
    follows = replace(at(2, "1", fade=2), follows=("style", "strength"))
    keyframes = [at(1, "1", strength=1.0), at(2, None, other, fade=4, strength=0.0), follows]
    timeline = Timeline(keyframes, style, Settings(strength=0.5), [Region(style)])
    (half,) = regions_at(timeline, 3)
    assert half.settings["strength"] == pytest.approx((1 + 0.375) / 2)
    # Half of its own style, and half of the frame's, a quarter of which is the new one already.
    assert half.style.weights == (FADE_LEVELS * 7 / 8, FADE_LEVELS / 8)
    assert regions_at(timeline, 4) == (Region(),)


def test_keyframes_of_a_region_name_the_frame_to_follow_it(tmp_path):
    words = ["2", "region=left", "style=frame", "strength=frame", "content-weight=0.1", "fade=1"]
    entry = parse_keyframe(words)
    assert entry.styles == () and entry.follows == ("style", "strength")
    assert entry.settings == {"content_weight": 0.1}
    timeline = tmp_path / "show.toml"
    timeline.write_text(
        "[[keyframe]]\ntime = 2\nregion = 'left'\nstyle = 'frame'\nstrength = 'frame'\n"
        "content_weight = 0.1\nfade = 1\n"
    )
    assert read_timeline(timeline) == (entry,)
    assert entry.recipe()["strength"] == entry.recipe()["style"] == "frame"
    with pytest.raises(ValueError, match="strength is 'frame': use a number"):
        parse_keyframe(["2", "strength=frame"])
    with pytest.raises(ValueError, match="cannot follow the frame: name the region"):
        replace(entry, region=None).with_style(None)


def test_timeline_finds_regions_by_name_and_number(style):
    regions = Region(name="2"), Region(name="sky"), Region(name="sky")
    for name in ("1", "3"):
        Timeline([at(1, name, strength=0.0)], style, Settings(), regions)
    for name, message in (("2", "more than one"), ("sky", "more than one"), ("sea", "2, sky, sky")):
        with pytest.raises(ValueError, match=f"'{name}', which.*{message}"):
            Timeline([at(1, name, strength=0.0)], style, Settings(), regions)
    with pytest.raises(ValueError, match="use 1, 2"):
        Timeline([at(1, "sea", strength=0.0)], style, Settings(), [Region(), Region()])
    with pytest.raises(ValueError, match="no regions: add this region"):
        Timeline([at(1, "sky", strength=0.0)], style, Settings())


def test_timeline_refuses_keyframes_of_a_region_that_contradict_each_other(style):
    both = [at(2, "1", strength=0.5), at(2, "a", strength=0.4)]
    with pytest.raises(ValueError, match="its own time"):
        Timeline(both, style, Settings(), [Region(name="a")])
    for settings, changes in (
        (Settings(content_weight=0), [at(1, "1", content_weight=0.1)]),
        (Settings(), [at(0, "1", content_weight=0.1), at(1, None, content_weight=0.0)]),
    ):
        with pytest.raises(ValueError, match="content_weight is 0 and that of a region is not"):
            Timeline(changes, style, settings, [Region()])
    with pytest.raises(ValueError, match="style, strength, style_scale, content_weight"):
        at(1, "1", temporal_weight=1.0)


def test_style_of_a_region_without_a_fade_restyles_the_region_alone(style, other):
    keyframes = [at(0.2, "1", strength=0.5), at(0.4, "1", other)]
    timeline = Timeline(keyframes, style, Settings(), [Region()])
    frames = [Frame(scene(), n / RATE, regions=LEFT[None]) for n in range(8)]
    found = [motion for _, motion in timeline.with_cuts((frame, Motion()) for frame in frames)]
    assert not any(motion.cut for motion in found)
    assert [motion.restyled is not None for motion in found] == [n == 4 for n in range(8)]
    assert torch.equal(found[4].restyled[0, 0], torch.from_numpy(LEFT / 255).float())
    with pytest.raises(ValueError, match="no masks for its regions"):
        list(timeline.with_cuts((replace(frame, regions=None), Motion()) for frame in frames))


def test_temporal_loss_leaves_out_a_region_whose_style_changes(features):
    image, mask = to_tensor(scene()), to_tensor(np.repeat(LEFT[..., None], 3, -1))[:, :1]
    frame = FrameContext(features, image, {}, (), image, 1 - 0.5 * mask)
    gains = mask.new_tensor([1.0, 0.0])
    regions = Regions(torch.cat([1 - mask, mask], 1), gains, gains)
    target = TemporalLoss().region_target(frame, [(), ()], regions)
    assert target.weight_map[..., :32].max() == 0 and target.weight_map[..., 32:].min() == 1
    first = frame._replace(previous=None, valid=None)
    assert TemporalLoss().region_target(first, [(), ()], regions) is None


class Collected(list):
    send = list.append


def halves(features, style, keyframes, regions, count=24, **settings):
    """The images of a run: the left half is the region, and the frames are all the same."""
    stylizer = painter(features, style, flow="none", **settings)
    stylizer.regions = tuple(regions)
    stylizer.timeline = Timeline(keyframes, style, stylizer.settings, regions)
    sink = Collected()
    vs.run(
        [Frame(scene(), n / RATE, 1 / RATE, regions=LEFT[None]) for n in range(count)],
        stylizer,
        [sink],
    )
    return [frame.image.astype(np.float32) for frame in sink]


def test_run_fades_a_region_to_a_style_and_leaves_the_rest_steady(features, style, other):
    """By the style loss of the new style in the left half, and the change between two frames in
    the right one."""
    options = {"steps": 6, "pyramid_levels": 1}
    made = halves(features, style, [at(0.6, "1", other, fade=1)], [Region()], **options)
    whole = halves(features, style, [at(0.6, None, other, fade=1)], [Region()], **options)
    half = to_tensor(scene())[..., :32]
    objective = painter(features, other).objective(half)

    def loss(image):
        return objective(to_tensor(image[:, :32].astype(np.uint8)))["style"].item()

    def change(images):
        return np.mean([np.abs(images[n] - images[n - 1])[:, RIGHT].mean() for n in range(8, 16)])

    assert loss(made[-1]) < 0.2 * loss(made[5])
    assert change(made) < 0.5 * change(whole)  # an eighth here


@pytest.mark.parametrize("backward_steps", [0, 0.5])
def test_run_changes_a_region_at_once_and_leaves_the_rest_steady(
    features, style, other, backward_steps
):
    options = {"steps": 3, "pyramid_levels": 1, "backward_steps": backward_steps}
    keyframes = [at(0.6, "1", other)]
    made = halves(features, style, keyframes, [Region()], 10, **options)
    whole = halves(features, style, [at(0.6, None, other)], [Region()], 10, **options)
    objective = painter(features, other).objective(to_tensor(scene())[..., :32])

    def loss(image):
        return objective(to_tensor(image[:, :32].astype(np.uint8)))["style"].item()

    def change(images):
        return np.abs(images[6] - images[5])[:, RIGHT].mean()

    assert loss(made[6]) < 1.5 * loss(whole[6])
    assert change(made) < 0.25 * change(whole)  # a fifth here


def test_keyframe_of_a_region_of_words_and_of_a_file(tmp_path, other_file):
    made = parse_keyframe(["0:10", "region=person", "style-scale=2", "fade=2"])
    assert (made.region, made.time, made.settings) == ("person", 10, {"style_scale": 2.0})
    path = tmp_path / "show.toml"
    path.write_text(
        '[[keyframe]]\ntime = 1\nregion = "left"\nstyle = "other.png"\n'
        "[[keyframe]]\ntime = 1\nregion = 2\nstrength = 0\n"
    )
    first, second = read_timeline(path)
    assert (first.region, first.styles, second.region) == ("left", (other_file,), "2")


@pytest.mark.parametrize("region", ["true", "''", "1.5", "['a']"])
def test_timeline_file_with_a_wrong_region_is_refused(tmp_path, region):
    path = tmp_path / "show.toml"
    path.write_text(f"[[keyframe]]\ntime = 1\nregion = {region}\nstrength = 0\n")
    with pytest.raises(vs.InputError, match="use the name or the number of a region"):
        read_timeline(path)


def test_region_may_have_a_name_and_nothing_else_before_a_keyframe(left_file):
    (person,) = parse_regions(["person="], timed=True)
    (left,) = parse_regions([f"{left_file}=,strength=0.5"])
    (named,) = parse_regions([f"{left_file}=ink,name=boat"])
    assert [each.called for each in (person, left, named)] == ["person", "left", "boat"]
    with pytest.raises(ValueError, match="is not MASK=STYLE"):
        parse_regions(["person="])
    with pytest.raises(ValueError, match="neither a style nor a setting"):
        parse_regions([f"{left_file}=,name=boat"])
    with pytest.raises(ValueError, match="name of a region is ''"):
        parse_regions([f"{left_file}=ink,name="])


@pytest.fixture
def render(tmp_path, features_file, style_file, left_file, long_clip):
    """Render the clip with the region of the left half into a file by a command with flags;
    returns the pixels of its frames."""

    def made(name, *flags, region="="):
        files = long_clip, style_file, "-o", tmp_path / name, "--features", features_file
        files += "--region", f"{left_file}{region}"
        main([*map(str, ("render", *QUICK_FLAGS, "-q", *files, "-c:v", "ffv1", *flags))])
        return pixels_of(tmp_path / name)

    return made


def test_render_follows_keyframes_of_a_region_in_a_part_of_the_clip_too(
    render, long_clip, other_file
):
    flags = ["--at", "0.5", f"style={other_file}", "--at", "0.8", "region=1", "strength=0"]
    whole, part = render("whole.mkv", *flags), render("part.mkv", "-ss", "0.5", *flags)
    assert len(whole) == 10 and all(map(np.array_equal, whole[5:], part))
    source = pixels_of(long_clip)
    assert np.array_equal(whole[8][:, :31], source[8][:, :31])
    assert not np.array_equal(whole[7][:, :31], source[7][:, :31])
    assert not np.array_equal(whole[9][:, 33:], source[9][:, 33:])


def test_preview_has_the_regions_of_its_time(vidstyle, long_clip, style_file, left_file):
    flags = "--region", f"{left_file}=", "--at", "0.5", "region=left", "strength=0"
    for time, kept in (("0.3", False), ("0.6", True)):
        name = f"at{time}.png"
        vidstyle("render", long_clip, style_file, "--preview", time, "-o", name, *flags)
        made, source = pixels_of(name)[0], pixels_of(long_clip)[round(10 * float(time))]
        assert np.array_equal(made[:, :31], source[:, :31]) == kept


def test_render_with_the_timeline_of_a_region_in_python_changes_that_region(
    tmp_path, features, long_clip, left_file, style_file
):
    region = {"mask": left_file, "name": "boat"}
    files = long_clip, style_file
    timeline = [{"time": 0.3, "region": "boat", "strength": 0, "fade": 0.4}]
    options = {"regions": [region], "timeline": timeline}
    made = pixels_of_render(*files, tmp_path / "made.mkv", features, **options)
    options = {"regions": [{**region, "strength": 1}]}
    plain = pixels_of_render(*files, tmp_path / "plain.mkv", features, **options)
    source = pixels_of(long_clip)

    def distance(number, side):
        return np.abs(made[number].astype(int) - source[number])[:, side].mean()

    assert len(made) == 10 and all(map(np.array_equal, made[:3], plain[:3]))
    assert 0 == distance(7, LEFT_SIDE) < distance(5, LEFT_SIDE) < distance(3, LEFT_SIDE)
    assert all(np.array_equal(a[:, RIGHT], b[:, RIGHT]) for a, b in zip(made, plain, strict=True))


def test_render_refuses_keyframes_of_regions_that_do_not_fit(vidstyle, clip, style_file, left_file):
    region = "--region", f"{left_file}="
    for flags, message in (
        (["--at", "0.1", "region=left", "strength=0"], "there are no regions: add this region"),
        ([*region, "--at", "0.1", "region=right", "strength=0"], "which is unknown: use left"),
        ([*region, "--at", "0.1", "region=left", "tv-weight=0"], "for a region alone"),
    ):
        code, _, errors = vidstyle("render", clip, style_file, *flags)
        assert code == 2 and message in errors.strip().splitlines()[-1]


def test_job_with_another_timeline_of_its_region_is_not_resumed(
    tmp_path, clip, left_file, other_file
):
    entry = parse_keyframe(["0.1", "region=left", f"style={other_file}"])
    regions = parse_regions([f"{left_file}="], timed=True)
    job = RenderJob(clip, tmp_path / "out.mp4", keyframes=(entry,), regions=regions)
    before = job.identity(Settings())
    for changed in (replace(entry, region="1"), replace(entry, region=None)):
        assert replace(job, keyframes=(changed,)).identity(Settings()) != before
    comment = job.tagged_encoding(Settings()).comment
    assert '"region": "left"' in comment and str(tmp_path) not in comment


def test_worker_stylizes_a_shot_by_the_timeline_of_its_region(
    tmp_path, features, style, left_file, long_clip
):
    regions = (RegionEntry(MaskFile(left_file)),)
    entries = (parse_keyframe(["0.5", "region=left", "strength=0"]),)
    stylizer = painter(features, style)
    stylizer.regions = load_regions(regions, features)
    stylizer.timeline = make_timeline(entries, style, stylizer.settings, stylizer.regions)
    job = RenderJob(long_clip, tmp_path / "out.mkv", keyframes=entries, regions=regions)
    with_timeline = Recipe.of(stylizer, "cpu", 1)
    without = replace(with_timeline, keyframes=())
    clip = Clip.of(job, stylizer.settings)
    sizes = [
        [perform(recipe, clip, Shot(*span)).value[0].data for recipe in (with_timeline, without)]
        for span in ((0, 5), (5, 10, Fraction(1, 2)))
    ]
    assert sizes[0][0] == sizes[0][1] and sizes[1][0] != sizes[1][1]


def test_studio_preview_has_the_regions_of_its_time(
    features, monkeypatch, long_clip, left_file, style_file, other_file
):
    make_previews_quick(monkeypatch, features)
    words = "0.5", "region=left", f"style={other_file}", "strength=0.5", "fade=0.2"
    regions = (RegionEntry(MaskFile(left_file)),)
    keyframes = (parse_keyframe(words),)
    request = PreviewRequest(long_clip, 0.6, style_file, Settings(), keyframes, regions)
    look = Previewer("cpu", None).look(request)
    (region,) = look.regions
    assert region.style.weights == pytest.approx([FADE_LEVELS / 2] * 2)
    assert region.settings == {"strength": pytest.approx(0.75)} and look.settings == Settings()
