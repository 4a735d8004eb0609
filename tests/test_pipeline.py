import sys
import threading
import time
from contextlib import ExitStack, nullcontext
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from conftest import SECONDS, scene, until

from vidstyle import Frame, Report, Settings, VideoInfo, run
from vidstyle.flow.clip_motion import with_motion
from vidstyle.flow.methods import dis_flow
from vidstyle.motion_adder import MAX_PARALLEL_FLOWS
from vidstyle.optim.adam import do_nothing
from vidstyle.runtime.worker import ProcessSetting


class Clip:
    """A source of ``count`` frames that may fail at one of them, or take its time."""

    def __init__(self, count=8, fail_at=None, pause=0.0):
        self.count, self.fail_at, self.pause, self.read = count, fail_at, pause, 0
        self.format = VideoInfo((64, 48), frames=count)

    def __iter__(self):
        for number in range(self.count):
            if number == self.fail_at:
                raise OSError("the reader broke")
            time.sleep(self.pause)
            self.read += 1
            yield Frame(scene(), Fraction(number, 25), Fraction(1, 25))

    def skip(self, count):
        self.skipped = count

    def stop(self):
        self.stopped = True

    def close(self):
        pass


class Painter:
    """A stylizer that inverts, and may fail, be interrupted, or take its time."""

    timeline = None
    on_iteration = staticmethod(do_nothing)

    def __init__(self, fail_at=None, error=None, pause=0.0, device="cpu"):
        self.fail_at, self.error, self.pause, self.calls, self.iterations = (
            fail_at,
            error,
            pause,
            0,
            [],
        )
        self.settings, self.features, self.motions = (
            Settings(backward_steps=0),
            SimpleNamespace(device=torch.device(device)),
            [],
        )

    def flow_px(self, size):
        return max(size)

    def __call__(self, frame, motion, proposal=None):
        self.motions.append(motion)
        if self.calls == self.fail_at:
            raise self.error
        self.calls += 1
        time.sleep(self.pause)
        return Frame(255 - frame.image, frame.time, frame.duration)


class Collector:
    """A sink that keeps frames, and may fail or take its time."""

    segment_seconds = None

    def __init__(self, fail_at=None, pause=0.0):
        self.frames, self.fail_at, self.pause = [], fail_at, pause

    def send(self, frame):
        if len(self.frames) == self.fail_at:
            raise OSError("the writer broke")
        time.sleep(self.pause)
        self.frames.append(frame)


@pytest.fixture(autouse=True)
def new_threads():
    """A function that lists the threads of vidstyle which this test has started and not ended."""
    before = threading.enumerate()

    def found():
        started = [thread for thread in threading.enumerate() if thread not in before]
        return [thread for thread in started if thread.name.startswith("vidstyle")]

    yield found
    assert not found()


def test_run_sends_every_frame_to_every_sink_in_order():
    one, two = Collector(), Collector(pause=0.002)
    report = run(Clip(20), Painter(), [one, two])
    assert report.frames == 20 and report.dropped == 0
    for sink in (one, two):
        assert [frame.time for frame in sink.frames] == [
            Fraction(number, 25) for number in range(20)
        ]
        assert np.array_equal(sink.frames[0].image, 255 - scene())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_run_raises_the_error_of_a_failing_source(device):
    with pytest.raises(OSError, match="the reader broke"):
        run(Clip(fail_at=3), Painter(device=device), [Collector()])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_run_raises_the_error_of_a_failing_sink_before_the_end_of_the_clip(device):
    painter = Painter(pause=0.02, device=device)
    with pytest.raises(OSError, match="the writer broke"):
        run(Clip(1000), painter, [Collector(fail_at=2)])
    assert painter.calls < 20


def test_run_raises_the_error_of_a_sink_that_fails_at_the_last_frame():
    with pytest.raises(OSError, match="the writer broke"):
        run(Clip(4), Painter(), [Collector(fail_at=3)])


def test_run_raises_the_error_of_a_failing_stylizer_and_writes_finished_frames():
    sink = Collector(pause=0.01)
    with pytest.raises(RuntimeError, match="the painter broke"):
        run(Clip(1000), Painter(5, RuntimeError("the painter broke")), [sink])
    assert len(sink.frames) == 5


def test_run_writes_finished_frames_after_an_interrupt():
    sink = Collector(pause=0.01)
    with pytest.raises(KeyboardInterrupt):
        run(Clip(1000), Painter(5, KeyboardInterrupt()), [sink])
    assert len(sink.frames) == 5


@pytest.mark.parametrize("ends", [None, RuntimeError()])
def test_run_restores_settings_of_the_process_beside_a_gpu(ends):
    def settings():
        return sys.getswitchinterval(), cv2.getNumThreads()

    usual, meanwhile = settings(), []
    painter = Painter(3 if ends else None, ends, device="cuda")
    with pytest.raises(RuntimeError) if ends else nullcontext():
        run(Clip(6), painter, [Collector()], lambda *_: meanwhile.append(settings()))
    assert meanwhile[0] == (pytest.approx(0.001), 1) and settings() == usual


def test_process_setting_lasts_until_the_last_user_leaves():
    values = ["usual"]
    setting = ProcessSetting(lambda: values[-1], values.append, "short")
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(setting)
        second.enter_context(setting)
        first.close()
        assert values == ["usual", "short"]
    assert values == ["usual", "short", "usual"]


@pytest.mark.parametrize(("device", "ahead"), [("cpu", 0), ("cuda", MAX_PARALLEL_FLOWS + 1)])
def test_run_reads_a_bounded_number_of_frames_ahead(device, ahead):
    clip = Clip(1000)
    with pytest.raises(RuntimeError):
        run(clip, Painter(3, RuntimeError(), pause=0.05, device=device), [Collector()])
    assert (
        clip.read <= 3 + 8 + ahead
    )  # those painted, the queue, and one in hand; those whose motion is looked for


def test_run_calls_controls_before_each_frame_and_after_the_last():
    seen = []
    painter = Painter()
    run(
        Clip(3),
        painter,
        [Collector()],
        controls=lambda stylizer, report: seen.append((stylizer.calls, report.frames)),
    )
    assert seen == [(number, number) for number in range(4)]


def test_run_reports_the_seconds_of_each_stage():
    report = run(Clip(4, pause=0.02), Painter(pause=0.02), [Collector()])
    assert isinstance(report, Report)
    assert report.seconds["stylize"] >= 0.08
    assert set(report.seconds) == {"read", "motion", "backward", "stylize", "write", "controls"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_run_computes_the_same_motion_on_either_thread(device):
    """On the painter's thread where both share a CPU, else on the reader's; nothing here touches
    the device."""
    painter, threads = Painter(device=device), set()

    def flow(*given):
        threads.add(threading.current_thread())
        return dis_flow(*given)

    run(Clip(5), painter, [Collector()], flow=flow)
    expected = [motion for _, motion in with_motion(Clip(5), dis_flow, size_px=lambda: 64)]
    assert [motion.flow is not None for motion in painter.motions] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert all(
        torch.equal(a.flow, b.flow) for a, b in zip(painter.motions[1:], expected[1:], strict=True)
    )
    assert (threading.main_thread() in threads) == (device == "cpu")


def test_run_of_an_empty_source_has_no_frames():
    assert run(Clip(0), Painter(), [Collector()]).frames == 0


@pytest.mark.parametrize(("device", "after"), [("cpu", [*range(5, 52, 5)]), ("cuda", [50])])
def test_run_makes_longer_segments_beside_a_gpu(device, after):
    painter, sink, kept = Painter(device=device), Collector(), []
    painter.state, painter.load_state = dict, lambda state: None
    sink.segment_seconds, sink.checkpoint = (
        Fraction(1, 5),
        lambda checkpoint: kept.append(checkpoint.frames),
    )
    run(Clip(52), painter, [sink])
    assert kept == after


def test_run_ends_although_its_source_does_not_stop(new_threads, monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.pipeline.READER_STOP_SECONDS", 0.1)
    sink, gone = Collector(), threading.Event()

    class Stuck(Clip):
        def __iter__(self):
            yield from super().__iter__()
            gone.wait(SECONDS)

    with pytest.raises(RuntimeError):
        run(Stuck(8), Painter(2, RuntimeError()), [sink])
    assert len(sink.frames) == 2 and "did not stop" in caplog.text
    gone.set()
    until(lambda: not new_threads())


def test_run_takes_up_an_interrupt_before_the_next_frame(monkeypatch):
    sink, painter = Collector(pause=0.01), Painter()

    def check():
        if painter.calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("vidstyle.pipeline.check", check)
    with pytest.raises(KeyboardInterrupt):
        run(Clip(1000), painter, [sink])
    assert len(sink.frames) == 3
