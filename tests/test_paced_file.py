"""Video files played at their own frame rate in place of a camera."""

import statistics
import time
from fractions import Fraction
from itertools import islice

import cv2
import numpy as np
from conftest import scene, write_clip

from vidstyle.io.source import open_source
from vidstyle.live.camera import PacedFile


def test_paced_file_mirror_flips_frames(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), scene())
    path = write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(100))
    with PacedFile(path) as camera:
        camera.mirror = True
        mirrored = next(iter(camera)).image
    with PacedFile(path) as camera:
        assert np.array_equal(next(iter(camera)).image[:, ::-1], mirrored)


def test_paced_file_loops_at_its_frame_rate(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(20))
    with PacedFile(path, loop=True) as camera:
        assert camera.format.live and camera.format.path is None
        frames = list(islice(camera, 10))
        passed = time.monotonic() - camera.start_time
    numbers = [frame.time * 20 for frame in frames]  # a busy machine skips some
    assert numbers == sorted(set(map(int, numbers))) and numbers[-1] >= 9
    decoded = [frame.image for frame in open_source(path)]
    for number, frame in zip(numbers, frames, strict=True):
        assert np.array_equal(frame.image, decoded[int(number) % 4])
    assert passed >= frames[-1].time  # never early; a busy machine may be late


def test_paced_file_slow_decoding_skips_frames(tmp_path, monkeypatch):
    from vidstyle.io.decode import VideoFile

    path = write_clip(tmp_path / "clip.mp4", count=50, rate=Fraction(100))
    picture = VideoFile._to_image
    monkeypatch.setattr(
        VideoFile, "_to_image", lambda *given: (time.sleep(0.05), picture(*given))[1]
    )
    with PacedFile(path, loop=True) as camera:
        late = []
        for frame in islice(camera, 14):
            late.append(time.monotonic() - camera.start_time - float(frame.time))
    assert (
        statistics.median(late) < 0.25 < frame.time
    )  # without skipping the last one is 0.6 s late, at 0.13 s


def test_paced_file_very_late_sets_clock_back(tmp_path, caplog):
    with PacedFile(write_clip(tmp_path / "clip.mp4", count=3, rate=Fraction(100))) as camera:
        frames = iter(camera)
        for number in range(3):
            assert next(frames).time == Fraction(number, 100)
            camera.start_time -= 5  # the frame took five seconds
        assert next(frames, None) is None
    assert time.monotonic() - camera.start_time < 2.5
    assert caplog.text.count("plays in slow motion") == 1


def test_paced_file_stop_ends_iteration(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", count=4, rate=Fraction(1, 10))
    camera = PacedFile(path, loop=True)
    frames = iter(camera)
    next(frames)
    camera.stop()
    assert list(frames) == []
    camera.close()
