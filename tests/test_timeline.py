"""Timelines: styles and settings that change with the time of a clip."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from conftest import QUICK, QUICK_FLAGS, painter, pixels_of, scene, stripes, write_clip

import vidstyle as vs
from vidstyle import Checkpoint, Frame, InputError, Motion, Settings
from vidstyle.cli.main import main
from vidstyle.distributed.tasks import Clip, Recipe, Shot, perform
from vidstyle.io.image_names import image_path
from vidstyle.io.images import write_image
from vidstyle.io.mask_file import MaskFile
from vidstyle.job import RenderJob
from vidstyle.keyframes import (
    KeyframeEntry,
    make_entry,
    make_timeline,
    parse_keyframe,
    read_timeline,
)
from vidstyle.ops.tensors import to_tensor
from vidstyle.stylizer.keyframe import Keyframe
from vidstyle.stylizer.timeline import Timeline
from vidstyle.stylizer.tracks import FADE_LEVELS

RATE = Fraction(10)


def at(time, style=None, fade=0, easing="linear", **settings):
    return Keyframe(Fraction(str(time)), style, settings, Fraction(str(fade)), easing)


def values(timeline, name, times):
    return [timeline.look(Fraction(str(time))).settings[name] for time in times]


def test_timeline_changes_settings_at_once_or_over_a_fade(style):
    keyframes = [at(1, strength=0.5), at(2, strength=1.0, fade=2), at(6, style_scale=4.0, fade=1)]
    timeline = Timeline(keyframes, style, Settings(strength=0.2))
    times = (0, 0.99, 1, 2, 2.5, 3, 4, 9)
    assert values(timeline, "strength", times) == [0.2, 0.2, 0.5, 0.5, 0.625, 0.75, 1.0, 1.0]
    assert values(timeline, "style_scale", (5, 6, 6.5, 7)) == [1.0, 1.0, pytest.approx(2.0), 4.0]


def test_timeline_eases_smoothly(style):
    timeline = Timeline([at(0, strength=0.0, fade=4, easing="smooth")], style, Settings())
    assert values(timeline, "strength", (0, 1, 2, 4)) == [1.0, 1 - 5 / 32, 0.5, 0.0]


def test_timeline_that_is_interrupted_goes_on_from_there(style):
    keyframes = [at(0, strength=0.0, fade=2), at(1, strength=1.0, fade=1)]
    timeline = Timeline(keyframes, style, Settings())
    assert values(timeline, "strength", (1, 1.5, 2)) == [0.5, 0.75, 1.0]


def test_timeline_blends_styles_during_a_fade(style, other):
    timeline = Timeline([at(1, other, fade=2), at(5, style)], style, Settings())
    assert timeline.look(Fraction(0)).style is style
    assert timeline.look(Fraction(3)).style is other
    assert timeline.look(Fraction(5)).style is style
    blend = timeline.look(Fraction(2))
    assert blend.style.weights == (FADE_LEVELS / 2, FADE_LEVELS / 2) and blend.fading
    assert blend.settings["temporal_weight"] == 0  # the previous frame holds no fade back
    assert timeline.look(Fraction(4)).settings["temporal_weight"] == Settings().temporal_weight
    assert timeline.look(Fraction(2)).style is blend.style  # whose statistics are kept


def test_timeline_refuses_keyframes_that_contradict_each_other(style):
    with pytest.raises(ValueError, match="comes after that at 2 s"):
        Timeline([at(2, strength=0.5), at(1, strength=0.4)], style, Settings())
    with pytest.raises(ValueError, match="both 0"):
        Timeline([at(1, content_weight=0.0)], style, Settings(style_weight=0))
    for wrong in ({"easing": "bouncy"}, {"fade": -1}, {"working_size": 64}):
        with pytest.raises(ValueError, match=r"bouncy|negative|cannot change"):
            at(1, **wrong)


def frames(count=8):
    return [Frame(scene(n / 10), n / RATE, 1 / RATE) for n in range(count)]


class Collected(list):
    send = list.append


def run(clip, features, style, timeline=None, **settings):
    """Images of a run."""
    stylizer = painter(features, style, flow="none", **settings)
    stylizer.timeline = timeline and Timeline(timeline, style, stylizer.settings)
    sink = Collected()
    vs.run(clip, stylizer, [sink])
    return [frame.image for frame in sink]


@pytest.mark.parametrize("backward_steps", [0, 1])
def test_run_begins_a_style_without_a_fade_like_a_shot(features, style, other, backward_steps):
    options = {"backward_steps": backward_steps}
    made = run(frames(), features, style, [at(0.4, other)], **options)
    before = run(frames()[:4], features, style, **options)
    after = run(frames()[4:], features, other, **options)
    assert all(map(np.array_equal, made, before + after))


def test_run_fades_to_a_style_within_the_fade(features, style, other):
    """By the style loss of the new style: strokes lie elsewhere than in a render of it alone."""
    keyframes = [at(0.2, other, fade=1)]
    objective = painter(features, other).objective(to_tensor(scene()))

    def losses(images):
        return [objective(to_tensor(image))["style"].item() for image in images]

    made = losses(run(frames(24), features, style, keyframes, steps=6))
    alone = losses(run(frames(24), features, other, steps=6))
    assert made[-1] < 1.5 * alone[-1]
    assert min(made[0], made[6]) > 10 * made[-1]  # not before the fade, nor at its middle


def test_run_of_a_timeline_changes_strength_alone(features, style):
    made = run(frames(), features, style, [at(0.3, strength=0.0)])
    plain = run(frames(), features, style)
    assert all(map(np.array_equal, made[:3], plain[:3]))
    assert all(
        np.array_equal(image, frame.image)
        for image, frame in zip(made[3:], frames()[3:], strict=True)
    )


def test_fade_without_a_frame_in_it_is_a_cut(style, other):
    timeline = Timeline([at(0.31, other, fade=0.05), at(0.5, style, fade=0.2)], style, Settings())
    found = timeline.with_cuts((frame, Motion()) for frame in frames())
    assert [motion.cut for _, motion in found] == [n == 4 for n in range(8)]


def test_cuts_of_a_timeline_keep_other_motion(style, other):
    timeline = Timeline([at(0.25, other), at(0.5, strength=0.5)], style, Settings())
    motions = [Motion() for _ in range(8)]
    found = [motion for _, motion in timeline.with_cuts(zip(frames(), motions, strict=True))]
    assert [motion.cut for motion in found] == [n == 3 for n in range(8)]
    assert found[5] is motions[5]


def test_keyframe_of_words(style_file, other_file):
    made = parse_keyframe(
        [
            "0:10.5",
            f"style={style_file},{other_file}",
            "style-weights=2,1",
            "strength=.6",
            "fade=2",
            "original-colors=true",
            "easing=smooth",
        ]
    )
    assert made == KeyframeEntry(
        Fraction(21, 2),
        (style_file, other_file),
        (2.0, 1.0),
        {"strength": 0.6, "original_colors": True},
        Fraction(2),
        "smooth",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1 strenght=0.5", "did you mean strength"),
        ("1 strength", "not NAME=VALUE"),
        ("1 strength=much", "strength is 'much': use a number"),
        ("1 strength=3", "^--at 1 strength=3: strength is 3"),
        ("soon strength=1", "not a valid time"),
        ("1 style=ink,", "use the name of a style"),
        ("1 working-size=64", "no 'working_size'"),
        ("1 fade=2", "changes nothing"),
        ("1 original-colors=2", "true or false"),
        ("1 strength=1 ink", "names of inputs and styles before --at"),
        ("1 strength=1 style-weights=2,1", "for 0 styles"),
        ("1 style=ink style-weights=2,1", "for 1 styles"),
        ("1 strength=1 easing=bouncy", "linear, smooth"),
        (
            "1 region=left temporal-weight=1",
            "use one of style, strength, style_scale, content_weig",
        ),
        ("1 region=left original-colors=true", "original_colors cannot change for a region alone"),
        ("1 region=left", "changes nothing: .* one of strength, style_scale, content_weight$"),
        ("1 region=left strength=3", "strength is 3"),
        ("1 region= strength=1", "not NAME=VALUE"),
        ("1 regoin=left strength=1", "did you mean region"),
        ("1 region=left strength=1 strength=0", "a keyframe has strength twice: give one value"),
    ],
)
def test_keyframe_with_wrong_words_names_the_remedy(words, message):
    with pytest.raises(ValueError, match=message):
        parse_keyframe(words.split())


def test_timeline_file_names_styles_relative_to_itself(tmp_path, other_file):
    path = tmp_path / "show.toml"
    path.write_text(
        '\ufeff[[keyframe]]\ntime = "0:10"\nstyle = "other.png"\nfade = 2\n'
        "[[keyframe]]\ntime = 20.5\nstrength = 0\noriginal_colors = true\n",
        "utf-8",
    )
    first, second = read_timeline(path)
    assert (first.time, first.styles, first.fade) == (10, (tmp_path / "other.png",), 2)
    assert second.time == Fraction(41, 2)
    assert second.settings == {"strength": 0.0, "original_colors": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not a TOML file"),
        ("# nothing", "has no keyframe"),
        ("[[keyframes]]\ntime = 1", "did you mean keyframe"),
        ("[[keyframe]]\nstyle = 'ink'", "no time"),
        ("[[keyframe]]\ntime = 1\nstile = 'ink'", "did you mean style"),
        ("[[keyframe]]\ntime = 1\nstyle = 'nowhere.png'", "nowhere.png does not exist"),
        ("[[keyframe]]\ntime = 1\nstyle_weights = 3\nstyle = 'ink'", "style_weights"),
        ("[[keyframe]]\ntime = true\nstyle = 'ink'", "not a valid time"),
        ("keyframe = 3", "write .* above each"),
        ("keyframe = [3]", "write .* above each"),
        ("[[keyframe]]\ntime = 1\nstyle = 7", "style"),
    ],
)
def test_timeline_file_with_an_error_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "show.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_timeline(path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def render(tmp_path, features_file, style_file):
    """Render a clip into a file by a command with flags; returns the pixels of its frames."""

    def made(clip, name, *flags):
        files = clip, style_file, "-o", tmp_path / name, "--features", features_file
        main([*map(str, ("render", *QUICK_FLAGS, "-q", *files, "-c:v", "ffv1", *flags))])
        return pixels_of(tmp_path / name)

    return made


@pytest.fixture
def long_clip(tmp_path):
    return write_clip(tmp_path / "long.mkv", count=10, rate=RATE, crf=1)


def test_render_follows_keyframes_in_a_part_of_the_clip_too(render, long_clip, other_file):
    flags = ["--at", "0.5", f"style={other_file}", "--at", "0.8", "strength=0"]
    whole = render(long_clip, "whole.mkv", *flags)
    part = render(long_clip, "part.mkv", "-ss", "0.5", *flags)
    assert len(whole) == 10 and all(map(np.array_equal, whole[5:], part))
    source = pixels_of(long_clip)
    assert np.array_equal(part[3], source[8]) and not np.array_equal(part[2], source[7])


def test_render_with_a_timeline_file_is_that_with_flags(
    tmp_path, render, features, long_clip, style_file, other_file
):
    show = tmp_path / "show.toml"
    show.write_text('[[keyframe]]\ntime = 0.3\nfade = 0.4\nstyle = "other.png"\n')
    flags = render(long_clip, "a.mkv", "--at", "0.3", f"style={other_file}", "fade=0.4")
    file = render(long_clip, "b.mkv", "--timeline", show)
    assert all(map(np.array_equal, flags, file))
    made = vs.render(
        long_clip,
        style_file,
        tmp_path / "c.mkv",
        preset=QUICK,
        features=features,
        codec="ffv1",
        progress=False,
        timeline=[{"time": 0.3, "fade": 0.4, "style": str(other_file)}],
    )
    assert len(pixels_of(made)) == 10
    assert not np.array_equal(pixels_of(made)[9], pixels_of(long_clip)[9])


def test_render_does_not_replace_its_timeline_file(tmp_path, clip, style_file, capsys):
    show = tmp_path / "show.toml"
    show.write_text(text := "[[keyframe]]\ntime = 0.1\nstrength = 0.5\n")
    flags = ["-o", str(tmp_path / "out.mkv"), "--timeline", str(show), "--json", str(show), "-y"]
    assert main(["render", *QUICK_FLAGS, str(clip), str(style_file), *flags]) == 1
    assert "would replace" in capsys.readouterr().err
    assert show.read_text() == text


def test_render_resumed_at_a_keyframe_gives_the_same_frames(features, style, other):
    def stylizer():
        paint = painter(features, style, flow="none")
        paint.timeline = Timeline([at(0.4, other)], style, paint.settings)
        return paint

    whole, rest = Collected(), Collected()
    vs.run(frames(), stylizer(), [whole])
    vs.run(frames(), stylizer(), [rest], resume=Checkpoint(4, 4, {}))
    assert len(rest) == 4
    pairs = zip(whole[4:], rest, strict=True)
    assert all(np.array_equal(one.image, again.image) for one, again in pairs)


def test_job_records_names_of_keyframes_without_folders(tmp_path, clip, other_file):
    entry = parse_keyframe(["0.5", f"style={other_file}", "strength=.5"])
    job = RenderJob(clip, tmp_path / "out.mp4", keyframes=(entry,))
    comment = job.tagged_encoding(Settings()).comment
    assert '"other.png"' in comment and str(tmp_path) not in comment


def test_job_without_its_timeline_is_not_resumed(tmp_path, clip, other_file):
    entry = parse_keyframe(["0.1", f"style={other_file}"])
    plain = RenderJob(clip, tmp_path / "out.mp4")
    for job in (replace(plain, keyframes=(entry,)), replace(plain, mask=MaskFile(other_file))):
        before, now = job.identity(Settings()), plain.identity(Settings())
        assert any(before.get(key) != now[key] for key in now)  # the keys that are compared


def test_job_with_another_timeline_is_not_resumed(tmp_path, clip, style_file, other_file):
    entry = parse_keyframe(["0.1", f"style={other_file}"])
    job = RenderJob(clip, tmp_path / "out.mp4", keyframes=(entry,))
    before = job.identity(Settings())
    assert (
        replace(job, keyframes=(replace(entry, fade=Fraction(1)),)).identity(Settings()) != before
    )
    write_image(other_file, stripes())
    assert job.identity(Settings()) != before


def test_render_refuses_keyframes_that_do_not_fit(
    features_file, clip, picture_file, style_file, tmp_path, capsys
):
    sequence = tmp_path / "frame_%03d.png"
    for number in range(1, 4):
        write_image(image_path(sequence, number), scene())
    own = ["--features", str(features_file)]
    for name, flags, message in (
        (
            clip,
            ["--at", "9", "strength=0"],
            "ends at 0.20 s, before 9.00 s: choose a time within the clip",
        ),
        (
            sequence,
            ["-o", str(tmp_path / "out_%03d.png"), "--at", "9", "strength=0"],
            f"{sequence} ends at 0.12 s, before 9.00 s",
        ),
        (picture_file, ["--at", "0", "strength=0"], "is an image: name a clip"),
        (clip, ["--at", "0.1", "strength=0", "--timeline", "x.toml"], "--at cannot be used"),
        (clip, ["--timeline", "x.toml"], "x.toml does not exist"),
        (clip, ["--at", "0.1", "strength=0", "--at", "0.1", "strength=1"], "its own time"),
    ):
        try:
            code = main(["render", *QUICK_FLAGS, str(name), str(style_file), *own, *flags])
        except SystemExit as leaving:
            code = leaving.code
        errors = capsys.readouterr().err.strip().splitlines()
        assert code and message in errors[-1]


def test_keyframes_fit_a_clip_whose_sound_begins_long_before_it(tmp_path):
    name = write_clip(
        tmp_path / "clip.mkv",
        rate=Fraction(10),
        pts=range(3000, 4000, 100),
        time_base=Fraction(1, 1000),
        sounds=1,
    )
    keyframes = (make_entry({"time": 3.5, "strength": 0}),)
    for start in (None, Fraction(16, 5)):
        with RenderJob(name, "out.mkv", start=start, keyframes=keyframes).open_source() as source:
            total = source.format.frames
            assert abs(total - len(list(source))) <= 1
    with pytest.raises(InputError, match=r"ends at 4\.0. s, before 9"):
        RenderJob(name, "out.mkv", keyframes=(replace(keyframes[0], time=9),)).open_source()


def test_keyframes_fit_a_part_of_an_image_sequence_and_one_with_missing_numbers(tmp_path):
    for number in (1, 2, 3, 51):
        write_image(tmp_path / f"frame_{number}.png", scene())
    sequence, keyframes = tmp_path / "frame_%d.png", (make_entry({"time": 2, "strength": 0}),)
    for stop in (None, Fraction(1, 10)):
        job = RenderJob(sequence, "out.mkv", stop=stop, keyframes=keyframes)
        with job.open_source() as source:
            assert len(list(source)) == (4 if stop is None else 3)


def test_worker_stylizes_a_shot_by_the_timeline(tmp_path, features, style, other_file, long_clip):
    entries = (parse_keyframe(["0.5", f"style={other_file}"]),)
    stylizer = painter(features, style)
    stylizer.timeline = make_timeline(entries, style, stylizer.settings)
    job = RenderJob(long_clip, tmp_path / "out.mkv", keyframes=entries)
    with_timeline = Recipe.of(stylizer, "cpu", 1)
    without = replace(with_timeline, keyframes=())
    clip = Clip.of(job, stylizer.settings)
    sizes = [
        [perform(recipe, clip, Shot(*span)).value[0].data for recipe in (with_timeline, without)]
        for span in ((0, 5), (5, 10, Fraction(1, 2)))
    ]
    assert sizes[0][0] == sizes[0][1] and sizes[1][0] != sizes[1][1]
