"""``vidstyle info``: what this machine has."""

import platform
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import PackageNotFoundError, version

import av
import av.codec
import torch

from . import __version__
from .features.pretrained import vgg_cache
from .io.codecs import CODECS, is_hardware_encoder, probe_encoder
from .io.images import bundled_styles
from .live.capture import list_cameras
from .live.v4l2loopback import diagnose
from .runtime.device import limit_threads

PACKAGES = (
    "torch",
    "torchvision",
    "av",
    "opencv-python",
    "pillow",
    "pillow-heif",
    "numpy",
    "scenedetect",
    "safetensors",
    "rich",
    "matplotlib",
    "pyvirtualcam",
    "starlette",
    "uvicorn",
)


def lines() -> Iterator[str]:
    """One fact per line: versions, devices, codecs, weights."""
    yield f"vidstyle {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "packages: " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    yield f"FFmpeg: {av.ffmpeg_version_info}"
    limit_threads()
    yield (
        "device cpu: "
        + f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    for number in range(torch.cuda.device_count()):
        yield f"device cuda:{number}: {torch.cuda.get_device_name(number)}"
    if torch.backends.mps.is_available():
        yield "device mps"
    yield "encoders: " + ", ".join(
        name for name in CODECS if not is_hardware_encoder(name) and name in av.codecs_available
    )
    for name in filter(is_hardware_encoder, CODECS):
        reason = probe_encoder(name)
        yield f"encoder {name}: {'works' if reason is None else reason}"
    found = list_cameras()
    for name, opened_by in found.items():
        yield f"camera {opened_by}: {name}"
    if not found:
        yield "camera: none found; use a clip instead: vidstyle live --camera clip.mp4 --loop"
    yield from diagnose()
    yield "styles: " + ", ".join(bundled_styles())
    bundled = resources.files("vidstyle") / "data" / "small.safetensors"
    yield f"features bundled: {'there' if bundled.is_file() else 'missing; install vidstyle again'}"
    for name, size in (("vgg16", "528 MB"), ("vgg19", "548 MB")):
        cached = vgg_cache(name)
        missing = f"not downloaded yet; {size} at first use, or give --weights FILE"
        yield f"features {name}: {cached if cached.exists() else missing}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
