"""Video files played at their own frame rate in place of a camera."""

import statistics
from fractions import Fraction
from itertools import islice

import av
import cv2
import numpy as np
import pytest
from conftest import scene, write_clip

from vidstyle.io.source import open_source
from vidstyle.io.stream_info import BT709
from vidstyle.live.camera import PacedFile


class Clock:
    """A clock that only waiting moves, and ``spend``."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("vidstyle.live.camera.time", made)
    return made


def paced(path, clock, **options):
    """A file that plays by a clock."""
    camera = PacedFile(path, **options)
    camera._stopped.wait = clock.spend
    return camera


def test_paced_file_mirror_flips_frames(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), scene())
    path = write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(100))
    with PacedFile(path) as camera:
        camera.mirror = True
        mirrored = next(iter(camera)).image
    with PacedFile(path) as camera:
        assert np.array_equal(next(iter(camera)).image[:, ::-1], mirrored)


def write_phone_clip(path):
    """A clip of one frame in HDR (PQ) that players turn by 90 degrees."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        video.codec_context.color_trc, video.codec_context.colorspace = 16, 9  # PQ, BT.2020
        video.set_display_rotation(90)
        output.mux(video.encode(av.VideoFrame.from_ndarray(scene(), format="rgb24")))
        output.mux(video.encode(None))
    return path


def test_paced_file_is_upright_and_sdr(tmp_path):
    with PacedFile(write_phone_clip(tmp_path / "clip.mp4")) as camera:
        frame = next(iter(camera))
        assert frame.size == camera.format.size == (48, 64) and camera.format.rotation == 0
        assert camera.format.color.transfer == BT709 and frame.image.dtype == np.uint8


def test_paced_file_loops_at_its_frame_rate(tmp_path, clock):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(20))
    with paced(path, clock, loop=True) as camera:
        assert camera.format.live and camera.format.path is None
        frames = list(islice(camera, 10))
        passed = clock.now - camera.start_time
    assert [frame.time * 20 for frame in frames] == list(range(10))
    decoded = [frame.image for frame in open_source(path)]
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.image, decoded[number % 4])
    assert passed == pytest.approx(float(frames[-1].time))


def test_paced_file_slow_decoding_skips_frames(tmp_path, monkeypatch, clock):
    from vidstyle.io.decode import VideoFile

    path = write_clip(tmp_path / "clip.mp4", count=50, rate=Fraction(100))
    picture = VideoFile._to_image
    monkeypatch.setattr(
        VideoFile, "_to_image", lambda *given: (clock.spend(0.05), picture(*given))[1]
    )
    with paced(path, clock, loop=True) as camera:
        late = []
        for frame in islice(camera, 14):
            late.append(clock.now - camera.start_time - float(frame.time))
    assert (
        statistics.median(late) < 0.1 and frame.time > 0.25
    )  # without skipping the last one is 0.6 s late, at 0.13 s


def test_paced_file_very_late_sets_clock_back(tmp_path, caplog, clock):
    path = write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(100))
    with paced(path, clock) as camera:
        frames = iter(camera)
        for number in range(3):
            assert next(frames).time == Fraction(number, 100)
            clock.spend(5)  # the frame took five seconds
        assert next(frames, None) is None
    assert clock.now - camera.start_time < 2.5
    assert caplog.text.count("plays in slow motion") == 1


def test_paced_file_stop_ends_iteration(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(1, 10))
    camera = PacedFile(path, loop=True)
    frames = iter(camera)
    next(frames)
    camera.stop()
    assert list(frames) == []
    camera.close()
