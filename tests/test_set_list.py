"""Set lists: timelines of live sessions."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import painter, scene, stripes, write_clip
from page_session import PageSession

from vidstyle import Frame, VideoInfo, cli
from vidstyle.keyframes import KeyframeEntry, parse_keyframe
from vidstyle.live.camera import LiveSource
from vidstyle.live.commands import check_command
from vidstyle.live.set_list import SetList
from vidstyle.pipeline import Report
from vidstyle.stylizer.regions import Region

STYLES = [Path("a.png"), Path("b.png"), Path("c.png")]


class Session:
    """Notes the commands, which must be valid ones."""

    temporal_weight = 5.0

    def __init__(self):
        settings = {"strength": 1.0, "style_scale": 1.0, "temporal_weight": self.temporal_weight}
        self.controls = SimpleNamespace(state=lambda: {"settings": settings}, styles=STYLES)
        self.display = SimpleNamespace(image="a frame")
        self.commands = []

    def command(self, command):
        check_command(command, {}, [path.stem for path in STYLES])
        self.commands.append(command)

    def blend(self, weights, seconds):
        self.commands.append((weights, seconds))


def commands_of(entries, times):
    """The commands that a set list sends by each of these times after the first frame."""
    now = 100.0
    session, set_list = Session(), SetList(entries, STYLES, lambda: now)
    set_list.open(session)
    set_list.show(None)
    sent = []
    for time in times:
        now = 100.0 + time
        set_list.show(None)
        sent.append(session.commands[:])
        session.commands.clear()
    set_list.close()
    return sent


def entry(time, *styles, fade=0, weights=None, **settings):
    return KeyframeEntry(
        Fraction(time), tuple(map(Path, styles)), weights, settings, Fraction(fade)
    )


def test_set_list_changes_the_style_at_its_time():
    entries = [entry(2, "b.png", fade=3), entry(9, "a.png", "c.png", weights=(2.0, 1.0))]
    early, first, during, after, second = commands_of(entries, [1, 2.5, 5, 6, 9])
    assert not early and not during and not after
    assert first == [([0.0, 1.0, 0.0], 3.0)]
    assert second == [([2.0, 0.0, 1.0], 0.0)]


class StillCamera(LiveSource):
    """A camera that a test gives its status."""

    status, format = "ok", VideoInfo((64, 48), live=True)


class Show:
    """A session with a set list, at times that a test chooses, in seconds from its start."""

    def __init__(self, entries, features, style, monkeypatch):
        self._now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self._now)
        monkeypatch.setattr("vidstyle.live.controls.time", clock)
        self.camera, self.set_list = StillCamera(), SetList(entries, STYLES[:2], clock.monotonic)
        self._driven = PageSession(self.set_list, self.camera, features, style)
        self.session, self.close = self._driven.session, self._driven.session.close
        self.styles = [style for _, style in self.session.controls.styles]

    def refresh(self, time):
        """The main thread shows the newest image, before the next frame is stylised."""
        self._now = time
        self.session.refresh()
        self.set_list.show(None)

    def style_at(self, time):
        """Stylise and show a frame; return the style that the next frame has."""
        self._now = time
        self._driven.stylize_frame()
        return self._driven.stylizer.style


def test_set_list_crossfades_last_as_long_as_its_file_says(features, style, monkeypatch):
    entries = [entry(1, "b.png"), entry(5, "a.png", fade=4)]
    with closing(Show(entries, features, style, monkeypatch)) as show:
        show.session.command({"set": {"crossfade_seconds": 50.0}})  # that of the keys
        assert show.style_at(0) is show.style_at(1) is show.styles[0]
        show.refresh(1.5)  # a slow machine: no frame is stylised meanwhile
        show.style_at(1.6)
        assert show.style_at(1.7) is show.styles[1]  # a cut
        show.style_at(5)
        show.style_at(5.1)
        for time, share in ((7.1, 0.5), (9.05, 0.9875), (9.06, 0.99)):
            assert show.style_at(time).weights == pytest.approx((1 - share, share))
        assert show.style_at(9.2) is show.styles[0]
        assert show.session.controls.crossfade_seconds == 50


def test_set_list_begins_with_the_first_frame_of_the_camera(features, style, monkeypatch):
    with closing(Show([entry(10, "b.png")], features, style, monkeypatch)) as show:
        show.camera.status = "lost"  # no phone is connected yet
        show.refresh(0)
        show.refresh(60)
        show.camera.status = "ok"
        for time in (60, 65, 69, 69.9):
            assert show.style_at(time) is show.styles[0]
        show.style_at(70)
        show.style_at(70.1)
        assert show.style_at(70.2) is show.styles[1]


def test_set_list_fades_parameters_and_then_leaves_them_alone():
    entries = [entry(1, strength=0.0, fade=2), entry(6, style_scale=2.0)]
    _, half, done, later, scaled = commands_of(entries, [0.5, 2, 4, 5, 6])
    assert half == [{"set": {"strength": 0.5}}] and done == [{"set": {"strength": 0.0}}]
    assert later == []  # a key or the page may change it
    assert scaled == [{"set": {"style_scale": 2.0}}]


def test_set_list_sets_a_parameter_again_that_a_key_has_changed():
    entries = [entry(1, strength=0.5), entry(4, strength=0.5)]
    first, between, again = commands_of(entries, [1, 3, 4])
    assert first == again == [{"set": {"strength": 0.5}}] and not between


def test_set_list_fades_from_a_value_beyond_those_of_commands(monkeypatch):
    monkeypatch.setattr(Session, "temporal_weight", 5000.0)  # of --temporal-weight
    half, end = commands_of([entry(1, temporal_weight=0.0, fade=2)], [2, 3])
    assert half == [{"set": {"temporal_weight": 500.0}}]
    assert end == [{"set": {"temporal_weight": 0.0}}]


def test_set_list_waits_while_too_many_commands_are_pending(features, style, monkeypatch):
    monkeypatch.setattr("vidstyle.live.session.MAX_PENDING_COMMANDS", 2)
    entries = [entry(1, "b.png", strength=0.5), entry(3, "a.png", strength=1.0)]
    with closing(Show(entries, features, style, monkeypatch)) as show:
        show.style_at(0)
        for time in (1, 3, 5):  # no frame is stylised meanwhile
            show.refresh(time)
        for time in (6, 7, 8):
            show.style_at(time)
        assert show.style_at(9) is show.styles[0]
        assert show.session.controls.state()["settings"]["strength"] == 1


def test_set_list_refuses_what_cannot_change_during_a_session():
    with pytest.raises(ValueError, match="content_weight cannot change during a live session"):
        SetList([entry(1, content_weight=0.1)], STYLES)
    for wrong, message in (
        (entry(1, temporal_weight=5000.0), "at 1 s: .*temporal_weight"),
        (entry(1, "b.png", weights=(0.0,)), "at 1 s"),
        (entry(1, "b.png", fade=90), "within 60 s at most"),
    ):
        with pytest.raises(ValueError, match=message):
            SetList([wrong], STYLES)
    with pytest.raises(ValueError, match="comes after that at 2 s"):
        SetList([entry(2, "a.png"), entry(1, "b.png")], STYLES)


def test_set_list_changes_a_region(features, style, other, tmp_path):
    now, sent = 100.0, []
    cv2.imwrite(str(tmp_path / "later.png"), stripes()[..., ::-1])
    words = ["1", "region=sky", f"style={tmp_path / 'later.png'}", "strength=0.5"]
    back = ["4", "region=1", "style=frame", "strength=frame", "fade=2"]
    set_list = SetList([parse_keyframe(words), parse_keyframe(back)], STYLES, lambda: now)
    stylizer = painter(features, style)
    stylizer.regions = (Region(name="sky"),)
    (later,) = set_list.load_regions(stylizer)
    session = Session()
    session.change_regions = sent.append
    set_list.open(session)

    def regions_at(time):
        nonlocal now
        now = 100.0 + time
        sent.clear()
        set_list.show(None)
        return sent[:]

    assert not regions_at(0) and not regions_at(0.9)
    stylizer.style = other  # by a key
    ((begun,),) = regions_at(1.25)
    assert begun.fading and set(begun.style.images) == {*other.images, *later.images}
    assert regions_at(3) == [(Region(later, {"strength": 0.5}, "sky"),)]
    assert not regions_at(3.5)
    ((half,),) = regions_at(5)
    assert half.settings == {"strength": 0.75} and half.fading
    assert regions_at(6.5) == [stylizer.regions] and not session.commands


def test_session_changes_its_regions_between_frames(features, style, other):
    driven = PageSession(SetList([], STYLES), StillCamera(), features, style)
    with closing(driven.session):
        driven.stylizer.regions = (Region(),)
        driven.session.change_regions([Region(other, fading=True)])
        assert driven.stylizer.regions == (Region(),)
        image = np.full((1, 48, 64), 255, np.uint8)
        frame = Frame(scene(), regions=image)
        driven.session(driven.stylizer, Report(1, source=frame, frame=driven.stylizer(frame)))
        assert driven.stylizer.regions == (Region(other, fading=True),)


def test_live_command_follows_a_set_list(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    for name in ("stripes.png", "later.png"):
        cv2.imwrite(name, stripes()[..., ::-1])
    Path("show.toml").write_text('[[keyframe]]\ntime = 0.2\nstyle = "later.png"\nstrength = 0\n')
    flags = ["--features", features_file, "--working-size", "64", "--no-window", "--device", "cpu"]
    arguments = ["live", "stripes.png", "--camera", "clip.mp4", "--timeline", "show.toml"]
    assert cli.main([*map(str, (*arguments, "-o", "out.mp4", *flags))]) == 0
    capsys.readouterr()
    cv2.imwrite("sky.png", np.uint8(255 * np.eye(32)))
    Path("show.toml").write_text(
        "[[keyframe]]\ntime = 0.1\nregion = 'sky'\nstyle = 'later.png'\nstrength = 0.5\n"
    )
    assert cli.main([*map(str, (*arguments, "-o", "c.mp4", "--region", "sky.png=", *flags))]) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main([*map(str, (*arguments, "-o", "d.mp4", *flags))])
    assert "there are no regions: add this region" in capsys.readouterr().err
    Path("show.toml").write_text("[[keyframe]]\ntime = 0.2\ncontent_weight = 0.1\n")
    with pytest.raises(SystemExit):
        cli.main([*map(str, (*arguments, "-o", "b.mp4", *flags))])
    assert "cannot change during a live session" in capsys.readouterr().err
