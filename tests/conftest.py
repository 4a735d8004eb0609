"""Shared fixtures: a tiny seeded network, generated clips and images."""

import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import pytest
import torch

import vidstyle as vs
from vidstyle.features.extractor import Features
from vidstyle.features.network import DISTILLED, Network, NetworkShape
from vidstyle.features.weights import bundled_features, write_network
from vidstyle.io.frame import Frame
from vidstyle.io.source import open_source
from vidstyle.settings import Settings
from vidstyle.stylizer.style import Style
from vidstyle.stylizer.stylizer import Stylizer

TINY = NetworkShape((6, 8, 8, 8, 8), (1, 1, 1, 1, 1), (0.45, 0.45, 0.45), (0.25, 0.25, 0.25))

FAST_SETTINGS = {
    "content_layers": ("relu2_1",),
    "style_layers": ("relu1_1",),
    "patch_weight": 0.0,
    "orientation_weight": 0.0,
}
"""Settings for tests that do not look at the image: a third of a frame's time."""

QUICK_FLAGS = ["--initial-steps", "3", "--steps", "1", "--working-size", "64", "--device", "cpu"]
QUICK_FLAGS += ["--content-layers", "relu2_1", "--style-layers", "relu1_1", "--patch-weight", "0"]
QUICK_FLAGS += ["--orientation-weight", "0"]


def tiny_network(seed=0, shape=TINY):
    """A seeded random network of the usual architecture with few channels."""
    torch.manual_seed(seed)
    network = Network(shape)
    for name, weight in network.named_parameters():
        torch.nn.init.kaiming_normal_(weight) if name.endswith("weight") else torch.nn.init.zeros_(
            weight
        )
    return network


TINY_DISTILLED = replace(
    DISTILLED,
    channels=(6, 8, 8, 8),
    convolutions=(1, 2, 1, 1),
    heads=(("vgg.relu2_1", 4), ("vgg.relu3_1", 6), ("vgg.relu4_2", 6), ("vgg.relu5_1", 5)),
)
"""A network that begins at half size and has heads, as the bundled one."""


def random_vgg_state(shape):
    """Random weights of a VGG in torchvision's format, without the fully connected layers."""
    generator = torch.Generator().manual_seed(0)
    state, number, width = {}, 0, 3
    for channels, count in zip(shape.channels, shape.convolutions, strict=True):
        for _ in range(count):
            weight = torch.randn(channels, width, 3, 3, generator=generator)
            state[f"features.{number}.weight"] = weight * 0.02
            state[f"features.{number}.bias"] = torch.randn(channels, generator=generator) * 0.02
            width, number = channels, number + 2
        number += 1
    return state


QUICK = Settings(initial_steps=6, steps=2, precision="fp32")
"""Settings of ``painter``: the same frames on every machine."""


def painter(features, style, **changes):
    """A stylizer of the quick settings, with changes."""
    return Stylizer(features, style, replace(QUICK, **changes))


SECONDS = 100
"""Time limit in seconds for what other threads and processes do; a busy machine may need long."""


def until(what, seconds=SECONDS):
    """Wait up to ``seconds`` until ``what()`` is true, as something else makes it; return its
    value."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def need(missing, variable):
    """Skip a test for the reason ``missing``, if any; fail if the variable is set to 1."""
    if missing and os.environ.get(variable) == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def features() -> Features:
    return bundled_features(tiny_network())


@pytest.fixture(scope="session")
def features_file(tmp_path_factory) -> Path:
    """The features as a weights file, for the command line."""
    path = tmp_path_factory.mktemp("features") / "tiny.safetensors"
    write_network(path, tiny_network().state_dict(), TINY)
    return path


def scene(time=0.0, size=(64, 48)):
    """(H, W, 3) uint8: a disc that moves 8 px per second over a gradient."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 90.0)], -1)
    image[(x - width / 4 - 8 * time) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2] = (
        230,
        60,
        40,
    )
    return image.astype(np.uint8)


def chart():
    """(80, 160, 3) uint8: flat patches of eight colours."""
    colours = [
        (60, 140, 220),
        (220, 20, 60),
        (30, 200, 60),
        (240, 220, 30),
        (128, 128, 128),
        (250, 250, 250),
        (8, 8, 8),
        (150, 60, 200),
    ]
    return np.repeat(np.repeat(np.array(colours, np.uint8).reshape(2, 4, 3), 40, 0), 40, 1)


def stripes(size=(64, 64)):
    """(H, W, 3) uint8: slanted stripes, as a style image."""
    y, x = np.mgrid[: size[1], : size[0]]
    wave = (np.sin((x + y) * 0.7) + 1) / 2
    return np.stack([40 + 200 * wave, 30 + 120 * wave, 200 - 150 * wave], -1).astype(np.uint8)


@pytest.fixture(scope="session")
def style(features) -> Style:
    return Style.from_images([stripes()], features)


def checks():
    """(48, 64, 3) uint8: a style that is nothing like ``stripes``."""
    y, x = np.mgrid[:48, :64]
    board = ((x // 6 + y // 6) % 2).astype(np.uint8) * 200
    return np.stack([20 + board, 40 + board // 2, 220 - board], -1)


@pytest.fixture
def other(features) -> Style:
    return Style.from_images([checks()], features)


@pytest.fixture
def other_file(tmp_path) -> Path:
    path = tmp_path / "other.png"
    cv2.imwrite(str(path), checks()[..., ::-1])
    return path


def pixels_of(path):
    """The images of a clip or an image."""
    with open_source(path) as source:
        return [frame.image for frame in source]


def pixels_of_render(clip, style, output, features, **options):
    """The images of a lossless render through the Python API, with quick settings."""
    given = {"preset": QUICK, "features": features, "codec": "ffv1", "progress": False} | options
    return pixels_of(vs.render(clip, style, output, **given))


@pytest.fixture
def frame() -> Frame:
    return Frame(scene(), Fraction(1, 3), Fraction(1, 30))


@pytest.fixture
def picture_file(tmp_path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), scene()[..., ::-1])
    return path


@pytest.fixture
def style_file(tmp_path) -> Path:
    path = tmp_path / "stripes.png"
    cv2.imwrite(str(path), stripes()[..., ::-1])
    return path


def write_clip(path, count=6, rate=Fraction(30000, 1001), size=(64, 48), **options):
    """Write a clip of ``scene`` and return its path.

    Options: ``pts`` in ``time_base``, ``sounds`` (number of audio streams), ``color`` (matrix,
    range), ``codec``, ``picture`` (function of time), ``crf``.
    """
    time_base = options.get("time_base", 1 / rate)
    pts = options.get("pts", range(count))
    matrix, color_range = options.get("color", (6, 1))
    picture = options.get("picture", lambda time: scene(time, size))
    with av.open(str(path), "w") as output:
        video = output.add_stream(
            options.get("codec", "libx264"), rate=rate, options={"crf": str(options.get("crf", 12))}
        )
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = video.time_base = time_base
        if "color" in options:
            video.codec_context.colorspace, video.codec_context.color_range = matrix, color_range
        sounds = [
            output.add_stream("aac", rate=44100, layout="mono")
            for _ in range(options.get("sounds", 0))
        ]
        for number in pts:
            image = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(picture(float(number * time_base))), format="rgb24"
            )
            image = image.reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=color_range
            )
            image.pts, image.time_base = number, time_base
            output.mux(video.encode(image))
        output.mux(video.encode(None))
        duration = float((max(pts) + 1) * time_base)
        for pitch, sound in enumerate(sounds, 1):
            samples = 0.2 * np.sin(np.arange(int(44100 * duration)) * 0.03 * pitch).astype(
                np.float32
            )
            for start in range(0, len(samples), 1024):
                block = av.AudioFrame.from_ndarray(
                    samples[None, start : start + 1024].copy(), "fltp", "mono"
                )
                block.sample_rate, block.pts, block.time_base = 44100, start, Fraction(1, 44100)
                output.mux(sound.encode(block))
            output.mux(sound.encode(None))
    return path


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_clip(tmp_path / "clip.mp4", sounds=1)


@pytest.fixture
def silent(tmp_path) -> Path:
    """A clip without audio."""
    return write_clip(tmp_path / "in.mp4", rate=Fraction(25))


def times_of(path):
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound_of(path, stream=0):
    """[(time, bytes)] of one audio stream's packets."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[stream])
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in packets
            if packet.dts is not None
        ]


@pytest.fixture
def page_camera(tmp_path):
    from vidstyle.live.camera import PacedFile

    with PacedFile(
        write_clip(tmp_path / "camera.mp4", count=50, rate=Fraction(25)), loop=True
    ) as source:
        yield source


@pytest.fixture
def page_session(page_camera, features, style, tmp_path, monkeypatch):
    """A live session with a control page, whose frames the test requests one by one."""
    from page_session import open_page_session

    monkeypatch.chdir(tmp_path)
    with open_page_session(page_camera, features, style) as made:
        yield made


@pytest.fixture
def client(page_session):
    """An HTTP client of the session's control page."""
    import httpx

    with httpx.Client(base_url=page_session.page.url, timeout=SECONDS) as found:
        yield found


@pytest.fixture
def vidstyle(features_file, tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; returns (exit code, stdout, stderr)."""
    from vidstyle import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        if arguments[0] == "render":
            arguments = ("render", *QUICK_FLAGS, "--features", features_file, *arguments[1:])
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run
