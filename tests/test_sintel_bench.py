"""The temporal error on a folder laid out as MPI Sintel's, made of a clip of known motion."""

import cv2
import numpy as np
import pytest
import torch
from conftest import QUICK

from vidstyle import InputError
from vidstyle.bench import sintel
from vidstyle.bench.clips import View, camera_clip
from vidstyle.bench.runs import ClipRunner
from vidstyle.bench.sintel import SintelBench, mean_error, read_truth
from vidstyle.flow.methods import dis_flow
from vidstyle.ops.tensors import to_tensor

STEP_PX = 3


@pytest.fixture
def folder(tmp_path):
    """A camera that moves left: what a frame shows is 3 px further right in the next one."""
    clip = camera_clip("pan", (96, 64), 4, lambda n: View(-STEP_PX * n))
    for kind in ("clean", "flow", "occlusions", "invalid"):
        (tmp_path / kind / "pan").mkdir(parents=True)
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = STEP_PX
    hidden = np.zeros((64, 96), np.uint8)
    hidden[:, -STEP_PX:] = 255
    for number, frame in enumerate(clip.frames, 1):
        name = f"pan/frame_{number:04d}"
        cv2.imwrite(str(tmp_path / "clean" / f"{name}.png"), frame.image[..., ::-1])
        cv2.writeOpticalFlow(str(tmp_path / "flow" / f"{name}.flo"), flow)
        cv2.imwrite(str(tmp_path / "occlusions" / f"{name}.png"), hidden)
        cv2.imwrite(str(tmp_path / "invalid" / f"{name}.png"), 0 * hidden)
    return tmp_path, [to_tensor(frame.image) for frame in clip.frames]


def test_mean_error_is_small_for_images_that_follow_the_true_flow(folder):
    path, images = folder
    truths = [read_truth(path, "pan", f"frame_{number:04d}") for number in (1, 2)]
    assert mean_error(images, truths) < 0.01  # rounding to 8 bits and resampling
    still = [images[0], images[0]]
    assert mean_error(still, truths[:1]) > 0.05


def test_read_truth_names_missing_flow(folder):
    with pytest.raises(InputError, match="copy MPI Sintel's flow"):
        read_truth(folder[0], "pan", "frame_0009")


def test_sintel_bench_measures_every_sequence(folder, style, monkeypatch):
    monkeypatch.setattr(sintel, "PRESETS", {"standard": QUICK})
    rows = []
    runner = ClipRunner(style, 96, dis_flow)
    monkeypatch.setattr(runner, "cold_start", lambda *_: torch.rand(1, 3, 64, 96))
    SintelBench(runner, lambda *row: rows.append(row), folder[0], 4, dis_flow).measure()
    figures = {row[0].removeprefix("Sintel pan: "): row[1] for row in rows}
    assert figures["temporal error"] < figures["the same, frame by frame (one pair)"]
    assert figures["the same of the source"] < 0.02
    assert figures["flow error of visible pixels"] < 0.5
    assert 80 < figures["reliable part of the visible pixels"] <= 100


def test_sintel_bench_names_a_folder_of_another_kind(tmp_path, style):
    bench = SintelBench(ClipRunner(style, 96, None), print, tmp_path, 4, None)
    with pytest.raises(InputError, match="training folder"):
        bench.measure()
