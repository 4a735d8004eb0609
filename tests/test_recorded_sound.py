"""Recordings with sound: in step with the picture, with a substitute for sounddevice."""

import sys
from contextlib import closing
from fractions import Fraction
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest
from conftest import write_clip

from vidstyle import DeviceError, Frame, VideoInfo
from vidstyle.io.direct_writer import DirectWriter
from vidstyle.live.recorder import Recorder

RATE, BLOCK, FPS = 48000, 1024, 20
START = 1000.0
"""Zero of the frames' times, in seconds of time.monotonic."""

INFO = VideoInfo((64, 48), time_base=Fraction(1, 1000))


class Devices:
    """A substitute for sounddevice with two devices; ``streams`` are the open ones."""

    def __init__(self):
        self.streams, self.refuses = [], False

    def module(self):
        outer, module = self, ModuleType("sounddevice")
        devices = [
            {"index": 3, "name": "Desk", "max_input_channels": 1, "default_samplerate": 48000.0},
            {"index": 4, "name": "Stage", "max_input_channels": 8, "default_samplerate": 48000.0},
        ]

        class PortAudioError(Exception):
            pass

        class InputStream:
            def __init__(self, device, samplerate, channels, dtype, callback, finished_callback):
                if outer.refuses:
                    raise PortAudioError("Device unavailable [PaErrorCode -9985]")
                assert dtype == "int16"
                self.kind = device, samplerate, channels
                self.callback, self.finish = callback, finished_callback

            def start(self):
                outer.streams.append(self)

            def close(self):
                self.finish()
                outer.streams.remove(self)

        def query_devices(device=None, kind=None):
            if kind is None:
                return devices
            found = [each for each in devices if device in (None, each["index"], each["name"])]
            if not found:
                raise ValueError(f"No input device matching {device!r}")
            return found[0]

        module.PortAudioError, module.InputStream = PortAudioError, InputStream
        module.query_devices = query_devices
        return module


@pytest.fixture
def devices(monkeypatch):
    found = Devices()
    monkeypatch.setitem(sys.modules, "sounddevice", found.module())
    monkeypatch.delitem(sys.modules, "vidstyle.live.microphone", raising=False)
    yield found
    sys.modules.pop("vidstyle.live.microphone", None)


def microphone(name=""):
    from vidstyle.live.microphone import Microphone

    return Microphone(name)


def samples_at(first, channels, clicks):
    """A block of silence from sample ``first`` of the frames' time on, with 10 ms of noise at each
    of these times in seconds."""
    times = (first + np.arange(BLOCK)) / RATE
    loud = np.zeros(BLOCK, bool)
    for click in clicks:
        loud |= (times >= click) & (times < click + 0.01)
    noise = np.random.default_rng(1).integers(-20000, 20000, (BLOCK, channels), np.int16)
    return noise * loud[:, None]


def record(path, heard, clicks, missing=(), jitter=0.0):
    """Record three seconds from 5 s of the frames' time on; frames are white from a click on, for a
    tenth of a second.

    Args:
        missing: (start, end) in seconds without sound.
        jitter: largest error in seconds of the time of a block.
    """
    recorder = Recorder(INFO, microphone=heard, start_time=lambda: START)
    recorder.start(path)
    random, position = np.random.default_rng(2), round(3.5 * RATE)
    for number in range(3 * FPS):
        time = Fraction(5) + Fraction(number, FPS)
        while position < (time + Fraction(1, 4)) * RATE:  # frames are late, they were stylised
            late = random.uniform(0, jitter)
            if not any(start <= position / RATE < end for start, end in missing):
                block = samples_at(position, heard.channels, clicks)
                heard.add(START + position / RATE + late, block)
            position += BLOCK
        white = any(click <= time < click + Fraction(1, 10) for click in clicks)
        image = np.full((48, 64, 3), 255 * white, np.uint8)
        recorder.send(Frame(image, time, Fraction(1, FPS)))
    recorder.close()


def onsets(path):
    """(Times of the flashes, times of the clicks, seconds of sound) in seconds of the file."""
    flashes, clicks, end = [], [], 0.0
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            if frame.to_ndarray(format="gray").mean() > 128:
                flashes.append(frame.time)
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float))
            scale = 1 if frame.format.name.startswith("flt") else 32768
            for place in np.flatnonzero(samples.max(0) > 0.1 * scale):
                clicks.append(frame.time + place / frame.sample_rate)
            end = frame.time + frame.samples / frame.sample_rate

    def starts(times):
        return [
            time for time, before in zip(times, [-1, *times], strict=False) if time > before + 0.2
        ]

    return starts(flashes), starts(clicks), end


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm"])
def test_recorded_sound_is_in_step(devices, tmp_path, ending):
    path, clicks = tmp_path / f"out{ending}", [5.5, 7.0]
    with closing(microphone("Stage")) as heard:
        assert (heard.rate, heard.channels) == (RATE, 2)  # of eight channels
        record(path, heard, clicks)
    flashed, clicked, end = onsets(path)
    assert flashed == [0.5, 2.0]
    # Codecs spread the start of a noise over some milliseconds.
    assert np.abs(np.subtract(clicked, flashed)).max() < 0.015
    assert 2.9 < end < 3.3
    assert not devices.streams


def test_recorded_sound_stays_in_step_after_a_gap_and_with_inexact_times(devices, tmp_path):
    path, clicks = tmp_path / "out.mp4", [5.5, 7.0]
    with closing(microphone()) as heard:
        record(path, heard, clicks, missing=[(5.8, 6.6)], jitter=0.03)
    flashed, clicked, end = onsets(path)
    assert len(clicked) == 2 and np.abs(np.subtract(clicked, flashed)).max() < 0.045
    assert 2.9 < end < 3.3


def test_recordings_of_one_microphone_follow_each_other(devices, tmp_path):
    with closing(microphone()) as heard:
        for name in ("a.mp4", "b.mp4"):
            record(tmp_path / name, heard, [5.5])
            flashed, clicked, _ = onsets(tmp_path / name)
            assert len(clicked) == 1 and abs(clicked[0] - flashed[0]) < 0.015
            heard._end = None


def test_recording_of_a_silent_microphone_holds_no_frames_back(devices, tmp_path, monkeypatch):
    path = tmp_path / "out.mp4"
    monkeypatch.setattr(DirectWriter, "_finish", lambda self, complete: None)  # as if killed
    with closing(microphone()) as heard:
        record(path, heard, [5.5], missing=[(0, 99)])
        with av.open(str(tmp_path / "out.part.mp4")) as file:
            assert len(list(file.decode(video=0))) > FPS


def test_microphone_keeps_a_minute(devices):
    from vidstyle.live.microphone import KEPT_SECONDS

    with closing(microphone("3")) as heard:
        block = np.zeros((RATE, 1), np.int16)
        for second in range(100):
            heard.add(START + second, block)
        number, blocks = heard.after(0)
        assert number == 100 and len(blocks) == KEPT_SECONDS + 1
        assert len(heard.after(98)[1]) == 2
        assert heard.after(100) == (100, [])


def test_microphone_uses_the_time_of_capture(devices, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 50.0)
    block = np.ones((480, 1), np.int16)
    for adc, now, expected in ((7.0, 7.25, 49.75), (0.0, 7.25, 49.99), (9.0, 7.25, 49.99)):
        with closing(microphone()) as heard:
            times = SimpleNamespace(inputBufferAdcTime=adc, currentTime=now)
            devices.streams[0].callback(block, 480, times, None)
            ((start, samples),) = heard.after(0)[1]
        assert start == pytest.approx(expected) and samples is not block


def test_microphone_that_disappears_is_reported_once(devices):
    messages = []
    with closing(microphone("Desk")) as heard:
        heard.notify = lambda text, error: messages.append((text, error))
        devices.streams[0].finish()
    assert messages == [("the microphone Desk is gone: recordings go on without sound", True)]


def test_microphone_errors_name_a_remedy(devices, vidstyle, tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "camera.mp4")
    code, _, err = vidstyle(
        "live", "--camera", clip, "--no-window", "-o", "out.mp4", "--microphone", "Choir"
    )
    assert code == 1 and len(err.splitlines()) == 1
    assert "no microphone 'Choir'" in err and "use one of Desk, Stage" in err
    devices.refuses = True
    with pytest.raises(DeviceError, match="Device unavailable"):
        microphone()
    monkeypatch.delitem(sys.modules, "vidstyle.live.microphone")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match=r"pip install 'vidstyle\[sound\]'"):
        microphone()
