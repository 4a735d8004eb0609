"""Selection of encoders, and what each of them writes."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import scene, write_clip
from media import pictures_of, through

from vidstyle import VideoInfo
from vidstyle.io.codecs import CODECS, probe_encoder, select_encoder
from vidstyle.io.color import PACKED_FORMATS


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1", "prores"])
def test_open_sink_writes_readable_clips_with_every_codec(tmp_path, codec):
    path = write_clip(tmp_path / "in.mp4", count=5, rate=Fraction(25))
    output = through(
        path, tmp_path / {"prores": "out.mov", "vp9": "out.webm"}.get(codec, "out.mkv"), codec=codec
    )
    pictures, _ = pictures_of(output)
    assert len(pictures) == 5
    for number, picture in enumerate(pictures):
        expected = scene(number / 25).astype(int)
        assert np.abs((picture >> (8 if picture.dtype == np.uint16 else 0)) - expected).mean() < 8


@pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler") or os.geteuid() != 0,
    reason="SVT-AV1 takes real-time priority on Linux as root alone",
)
def test_open_sink_for_av1_leaves_threads_their_priority(tmp_path):
    path = write_clip(tmp_path / "in.mp4", count=5, rate=Fraction(25))
    assert probe_encoder("libsvtav1") is None
    through(path, tmp_path / "out.mkv", codec="av1")
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}


def test_select_encoder_replaces_and_names_an_encoder_that_fails(monkeypatch, caplog):
    monkeypatch.setattr("vidstyle.io.codecs.probe_encoder", lambda name: "no such card")
    assert select_encoder("hevc_nvenc", None, "mp4", VideoInfo((64, 48))).name == "libx264"
    assert "hevc_nvenc: no such card" in caplog.text
    monkeypatch.setattr(
        "vidstyle.io.codecs.probe_encoder",
        lambda name: None if name == "h264_qsv" else "no such card",
    )
    assert select_encoder("hardware", None, "mp4", VideoInfo((64, 48))).name == "h264_qsv"


def test_probe_encoder_encodes_a_frame():
    assert probe_encoder("libx264") is None
    assert (
        "not in this build" in probe_encoder("h264_videotoolbox")
        or probe_encoder("h264_videotoolbox") is None
    )
    assert all(
        codec.crf is not None or name in ("ffv1", "prores_ks") for name, codec in CODECS.items()
    )


def test_encoder_does_not_reuse_the_frame_memory():
    """What it is handed shares that memory only until it is converted."""
    formats = {pixels for codec in CODECS.values() for pixels in (*codec.pixels, *codec.alpha)}
    assert not formats & set(PACKED_FORMATS.values())
