"""The driver of a distributed render, with workers that fail as they are told to."""

import errno
import os
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from conftest import write_clip
from test_ranges import CUT_FRAMES, three_shots

from vidstyle import InputError, Settings, Stylizer, VidstyleError, open_source
from vidstyle import job as job_module
from vidstyle.distributed import driver as driver_module
from vidstyle.distributed import sources, tasks
from vidstyle.distributed.driver import Driver
from vidstyle.distributed.outputs import open_output
from vidstyle.distributed.render import ClusterOptions
from vidstyle.distributed.shot_list import (
    Scan,
    ScanRange,
    join_scans,
    scan,
    scan_ranges,
    shots_of,
)
from vidstyle.distributed.tasks import Clip, Outcome, Probe, Recipe, Trouble, perform
from vidstyle.distributed.workers import Finished, LocalWorker
from vidstyle.flow.cuts import cuts_among
from vidstyle.io.mask_file import MaskFile
from vidstyle.job import RenderJob
from vidstyle.painted_keyframes import PaintedKeyframe
from vidstyle.range_render import SEAM_FRAMES


class Workers:
    """Two workers; ``fails`` says how the tries of a task end, one after another."""

    def __init__(self, fails=(), slots=2):
        self.slots, self.go_on_after_interrupt = slots, True
        self.fails = {task: list(troubles) for task, troubles in dict(fails).items()}
        self.running, self.log, self.sent, self.most = [], [], [], 0

    def submit(self, clip, task, avoid=""):
        self.log.append((task, avoid))
        self.running.append((len(self.log), task))
        self.most = len(self.running)
        return len(self.log)

    def wait(self, seconds):
        handle, task = self.running.pop(0)
        left = self.fails.get(task)
        if left:
            error = VidstyleError(f"{task} failed")
            return [Finished(handle, Outcome(None, left.pop(0), error, "node 1"))]
        return [Finished(handle, Outcome(f"result of {task}"))]

    def send_source(self, clip, path):
        self.sent.append(path)

    def cancel(self):
        self.running.clear()


class Output:
    """An output whose tasks are words; a word of n letters is a shot of n frames."""

    def __init__(self, *words):
        self.job = RenderJob("in.mp4", "out.mp4")
        self.clip = Clip(self.job, None, "digest")
        self.words, self.accepted, self.ends = words, [], []

    def scans(self, count):
        return []

    def begin(self):
        pass

    def tasks(self):
        return [(word, len(word)) for word in self.words]

    def accept(self, task, result):
        self.accepted.append(task)

    def finish(self):
        self.ends.append("finished")

    def keep(self):
        self.ends.append("kept")

    def release(self):
        self.ends.append("released")


def driven(workers, *outputs, **options):
    made = Driver(workers, quiet=True, **options)
    made.render(outputs)
    return [str(made.failed[id(each)]) if id(each) in made.failed else None for each in outputs]


def test_driver_does_the_longest_shots_first_and_finishes_each_output():
    workers, one, two = Workers(), Output("aa", "aaaa"), Output("bbb", "b")
    assert driven(workers, one, two) == [None, None]
    assert [task for task, _ in workers.log] == ["aaaa", "bbb", "aa", "b"]
    assert one.ends == two.ends == ["finished", "released"]


def test_driver_reports_the_last_frame_before_an_output_ends():
    events, output = [], Output("aa", "a")
    output.job = replace(output.job, listener=lambda event: events.append(event.done))
    output.finish = lambda: events.append("end")
    driven(Workers(), output)
    assert events == [2, 3, "end"]


def test_driver_tries_a_lost_shot_elsewhere_at_most_so_often():
    workers, output = Workers({"aa": [Trouble.LOST, Trouble.NODE]}), Output("aa", "a")
    assert driven(workers, output) == [None]
    assert [avoid for task, avoid in workers.log if task == "aa"] == ["", "node 1", "node 1"]
    workers, output = Workers({"aa": [Trouble.LOST] * 3}), Output("aa", "a")
    (error,) = driven(workers, output)
    assert "3 tries failed" in error and output.accepted == ["a"]
    assert output.ends == ["kept", "released"]


def test_driver_does_not_try_an_error_of_the_clip_again():
    workers = Workers({"aaa": [Trouble.OWN]}, slots=1)
    failing, other = Output("aaa", "aa"), Output("b")
    assert driven(workers, failing, other) == ["aaa failed", None]
    assert [task for task, _ in workers.log] == ["aaa", "b"]
    assert failing.ends == ["kept", "released"] and other.ends == ["finished", "released"]


def test_driver_halves_the_tasks_at_once_when_memory_runs_out(caplog):
    words = [letter * 4 for letter in "abcdefgh"]
    workers = Workers({word: [Trouble.MEMORY] for word in words[-4:]}, slots=4)
    output = Output(*words)
    assert driven(workers, output) == [None]
    assert sorted(output.accepted) == words and workers.most <= 2
    assert [r.message for r in caplog.records].count(
        "out of memory: 2 tasks at once from now on"
    ) == 1  # four tasks that ran beside each other are one reason to halve


def test_driver_sends_a_source_and_ends_for_other_versions():
    workers, output = Workers({"aa": [Trouble.SOURCE]}), Output("aa")
    assert driven(workers, output, max_tries=1) == [None] and len(workers.sent) == 1
    with pytest.raises(VidstyleError, match="aa failed"):
        driven(Workers({"aa": [Trouble.VERSIONS]}), output := Output("aa", "b"))
    assert output.ends == ["released"]


def test_driver_gives_up_a_source_that_is_missing_after_it_was_sent():
    workers, output = Workers({"aa": [Trouble.SOURCE] * 9}), Output("aa", "a")
    (error,) = driven(workers, output)
    assert "3 tries failed" in error and output.ends == ["kept", "released"]
    assert len(workers.sent) == 1 and output.accepted == ["a"]


def test_driver_finishes_running_shots_after_an_interrupt(monkeypatch):
    checks = iter([None, KeyboardInterrupt()])

    def check():
        if error := next(checks):
            raise error

    monkeypatch.setattr(driver_module, "check", check)
    workers, output = Workers(), Output("aaaa", "aaa", "aa", "a")
    with pytest.raises(KeyboardInterrupt):
        driven(workers, output)
    assert output.accepted == ["aaaa", "aaa"] and output.ends == ["kept", "released"]


def three_shot_job(tmp_path, **options):
    return RenderJob(three_shots(tmp_path / "in.mp4", **options), "out.mp4")


@pytest.mark.parametrize("start", [None, Fraction(1, 2)])
def test_scans_of_parts_find_the_frames_and_cuts_of_one_pass(tmp_path, start):
    job = replace(three_shot_job(tmp_path), start=start)
    whole = scan(job, ScanRange())
    skipped = 0 if start is None else 13
    assert cuts_among(whole.reaches) == [number - skipped for number in CUT_FRAMES]
    for bounds in (
        [Fraction(3, 2)],
        [Fraction(6, 5), Fraction(3)],
        [Fraction(3) - 1 / Fraction(50)],
    ):
        ends = [None, *bounds, None]
        parts = [scan(job, ScanRange(*pair)) for pair in pairwise(ends)]
        assert join_scans(parts) == replace(whole, before=(), after=())


def test_scan_finds_neither_people_nor_paintings(tmp_path, monkeypatch):
    def refused(*args):
        raise AssertionError("cuts do not depend on it")

    monkeypatch.setattr(job_module, "load_person_model", refused)
    monkeypatch.setattr(job_module, "with_painted_keyframes", refused)
    job = three_shot_job(tmp_path)
    painted = (PaintedKeyframe(Fraction(1), tmp_path / "painting.png"),)
    with_people = replace(job, mask=MaskFile("person"), painted=painted)
    assert scan(with_people, ScanRange()) == scan(job, ScanRange())


def test_video_output_does_not_hold_its_clip_open(tmp_path, monkeypatch):
    opened, closed, open_source = [], [], RenderJob.open_source

    def noted(job, start=None):
        source = open_source(job, start)
        monkeypatch.setattr(source, "close", lambda close=source.close: closed.append(close()))
        opened.append(source)
        return source

    monkeypatch.setattr(RenderJob, "open_source", noted)
    job = RenderJob(write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    output = open_output(job, Settings(), None, 1)
    assert opened and len(opened) == len(closed)
    output.release()


def test_scans_that_do_not_meet_are_not_joined():
    times = tuple(Fraction(number) for number in range(10))
    first = Scan(times[:5], {}, (), times[5:7])
    second = Scan(times[5:], {}, times[2:5], ())
    assert join_scans([first, second]) == Scan(times, {})
    assert join_scans([replace(first, after=times[6:8]), second]) is None
    assert join_scans([first, replace(second, before=times[1:4])]) is None


def test_cuts_depend_on_where_the_shot_began():
    assert cuts_among({5: 3, 6: 1, 9: 2, 20: 3}) == [5, 6, 20]
    assert cuts_among({5: 2, 0: 3, 1: 1}) == [1]


def test_shots_are_split_into_equal_parts_that_fade():
    times = tuple(Fraction(number, 25) for number in range(100))
    found = Scan(times, {60: 3})
    whole = shots_of(found, Fraction(1, 25))
    assert [(shot.first, shot.stop, shot.last_pts, shot.seam) for shot in whole] == [
        (0, 60, -1, 0),
        (60, 100, 59, 0),
    ]
    split = shots_of(found, Fraction(1, 25), 25)
    assert [shot.first for shot in split] == [0, 20, 40, 60, 80]
    assert [shot.stop for shot in split] == [20, 40, 60, 80, 100]
    assert [shot.seam for shot in split] == [SEAM_FRAMES, SEAM_FRAMES, 0, SEAM_FRAMES, 0]
    assert [shot.time for shot in split] == [times[shot.first] for shot in split]


def test_scan_ranges_are_few_for_a_short_clip(tmp_path):
    assert scan_ranges(three_shot_job(tmp_path), 8) == [ScanRange()]
    long = RenderJob(write_clip(tmp_path / "long.mp4", count=60, rate=Fraction(1)), "out.mp4")
    assert [part.begin for part in scan_ranges(long, 8)] == [None, 20, 40]


@pytest.fixture
def recipe(features, style):
    return Recipe.of(Stylizer(features, style), "cpu", 1)


def test_task_has_the_styles_of_its_own_recipe(features, style, other):
    recipes = [Recipe.of(Stylizer(features, each), "cpu", 1) for each in (style, other)]
    for _ in range(20):  # a recipe often gets the address of one that was deleted
        for recipe in recipes:
            copied = replace(recipe)
            found = tasks._styles_on(copied, "cpu")
            assert found[0].images[0] is recipe.style.images[0]
            assert tasks._styles_on(copied, "cpu") is found
            del copied


def test_task_names_versions_that_differ_from_the_drivers(recipe):
    outcome = perform(replace(recipe, versions={**recipe.versions, "av": "1.0"}), None, Probe())
    assert outcome.trouble is Trouble.VERSIONS and "driver has 1.0" in str(outcome.error)
    assert perform(recipe, None, Probe()).value == "cpu"


def test_task_says_whether_the_clip_or_the_machine_failed(recipe, tmp_path):
    job = three_shot_job(tmp_path)
    clip = Clip.of(job, None)
    moved = job.input.rename(tmp_path / "moved.mp4")
    assert perform(recipe, clip, ScanRange()).trouble is Trouble.SOURCE

    def no_space():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcome = perform(recipe, clip, ScanRange(), no_space)
    assert outcome.trouble is Trouble.NODE and "No space left" in str(outcome.error)
    sent = perform(recipe, clip, ScanRange(), lambda: np.fromfile(moved, np.uint8))
    assert len(sent.value.times) == 100
    sources.remove_source(clip.contents)
    assert not list(sources.source_folder().glob("*in.mp4"))
    job = replace(job, input=tmp_path / "No space left on device.mp4")
    job.input.write_bytes(b"no clip")
    assert perform(recipe, Clip.of(job, None), ScanRange()).trouble is Trouble.OWN


@pytest.mark.parametrize("change", ["removed", "edited"])
def test_render_ends_when_its_clip_is_changed_and_names_what_to_do(recipe, tmp_path, change):
    clip = write_clip(tmp_path / "in.mp4")
    output = Output("aa", "a")
    output.clip = Clip.of(RenderJob(clip, "out.mp4"), None)
    if change == "removed":
        clip.unlink()
    else:
        write_clip(clip, count=7)
    (error,) = driven(LocalWorker(recipe), output)
    assert "in.mp4 was changed, moved or removed during the render: put it back" in error
    assert output.ends == ["kept", "released"]


def test_task_refuses_a_clip_with_fewer_frames_than_listed(features, style, tmp_path):
    job = three_shot_job(tmp_path)
    with open_source(job.input) as source:
        shots = shots_of(scan(job, ScanRange()), source.format.time_base)
    longer = replace(shots[2], stop=110)
    with pytest.raises(InputError, match="25 frames instead of 35 from frame 75 on"):
        tasks.render_shot(job, Stylizer(features, style), longer)


@pytest.mark.parametrize("flag", ["--workers", "--cpus-per-worker", "--max-tries"])
def test_render_names_the_flag_of_a_wrong_number_of_workers(vidstyle, clip, style_file, flag):
    code, _, err = vidstyle("render", clip, style_file, "-o", "out.mp4", flag, "0", "--ray")
    assert code == 2 and f"{flag} is 0: it must be 1 or more" in err


@pytest.mark.parametrize(
    "wrong",
    [{"address": "clip.mp4"}, {"workers": 0}, {"gpus_per_worker": 1.5}, {"cpus_per_worker": 0}],
)
def test_cluster_options_refuse_wrong_values(wrong):
    with pytest.raises(ValueError, match=r"address|it must be"):
        ClusterOptions(**wrong)
