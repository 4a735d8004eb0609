"""Memory that a stylizer needs, and errors where it lacks."""

import platform
import re

import numpy as np
import pytest
import torch
from conftest import painter

from vidstyle import DeviceError, Frame, Stylizer
from vidstyle.features.network import VGG16, Network
from vidstyle.features.pretrained import VGG_DEEPEST
from vidstyle.features.weights import vgg_features
from vidstyle.optim import adam
from vidstyle.stylizer import memory_check
from vidstyle.stylizer.memory_check import REGION_BYTES_PER_PIXEL, required_bytes


def test_stylizer_out_of_memory_names_the_remedy(features, style, frame, monkeypatch):
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 1000)
    with pytest.raises(DeviceError, match="smaller working_size"):
        painter(features, style)(frame)
    big = Frame(np.zeros((1000, 2000, 3), np.uint8))
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 1_000_000_000)
    with pytest.raises(DeviceError, match="working_size=") as error:
        painter(features, style, working_size=2000)(big)
    fits = int(re.search(r"working_size=(\d+) would fit", str(error.value))[1])
    assert 500 < fits < 1000  # 2.4 kB for each of 2,000,000 px, and the file's own
    monkeypatch.setattr(Stylizer, "_stylize_initial", lambda self, content, *_: content)
    assert painter(features, style, working_size=fits)(big).size == (2000, 1000)
    monkeypatch.undo()

    def burst(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(adam, "adam_step", burst)
    with pytest.raises(DeviceError, match="smaller working_size"):
        painter(features, style)(frame)


def test_required_bytes_are_more_with_a_vgg(features):
    sizes = (320, 180), (320, 180)
    vgg = vgg_features(Network(VGG16, VGG_DEEPEST))
    assert sum(required_bytes(vgg, sizes)) > 1.5 * sum(required_bytes(features, sizes))


def test_required_bytes_are_more_with_regions(features):
    sizes = (640, 360), (640, 360)
    for tile_px in (None, 256):
        none, two = (required_bytes(features, sizes, tile_px, count)[0] for count in (0, 2))
        assert two - none == 2 * REGION_BYTES_PER_PIXEL * 640 * 360


def test_stylizer_asks_for_free_memory_once_per_size(features, style, frame, monkeypatch):
    paint = painter(features, style)
    small = Frame(frame.image[:32, :48])
    for each in (frame, small):
        paint(each)
    monkeypatch.setattr(
        memory_check, "free_memory", lambda device: 0
    )  # another program has taken all since
    for each in (frame, small, frame):
        paint(each)


def test_stylizer_counts_the_memory_of_the_size_before_as_free(features, style, frame, monkeypatch):
    paint = painter(features, style)
    paint(frame)
    monkeypatch.setattr(memory_check, "free_memory", lambda device: 0)
    paint(Frame(frame.image[:32, :48]))  # which fits into what the larger frame needed
    with pytest.raises(DeviceError, match="out of memory"):
        paint(Frame(np.zeros((200, 300, 3), np.uint8)))


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this C library has a mind of its own"
)
def test_keep_freed_memory_lets_the_next_step_use_it(features, style):
    resource = pytest.importorskip("resource")
    Stylizer(features, style)

    def pages_cleared():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**22)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # 16 MiB are 4096 pages, and so large that they would be given back each time.
    assert min(pages_cleared() for _ in range(5)) < 400
