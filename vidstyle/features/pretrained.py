"""Pretrained weights of torchvision, downloaded once and cached: VGG-16, VGG-19, RAFT, LRASPP."""

import pickle
import re
import socket
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import FeaturesError, InputError, OutputError
from ..io.files import check_readable
from ..io.tensor_file import read_tensors, write_tensors
from ..user_folders import cache_folder
from .network import VGG16, VGG19, NetworkShape, convolution_of

DOWNLOAD_TIMEOUT_SECONDS = 30
"""Longest wait for a server that sends nothing."""

VGG_DEEPEST = "relu5_1"
"""Deepest layer of a VGG whose weights are kept."""


class Vgg(NamedTuple):
    """A network of Simonyan & Zisserman (2015) that torchvision publishes weights of.

    Args:
        title: its name in messages.
        shape: its architecture.
        published: name of torchvision's enumeration of its weights.
    """

    title: str
    shape: NetworkShape
    published: str


VGGS = {
    "vgg16": Vgg("VGG-16", VGG16, "VGG16_Weights"),
    "vgg19": Vgg("VGG-19", VGG19, "VGG19_Weights"),
}
"""By the name of the features."""


def last_line(error: Exception) -> str:
    """The last line of an error's message."""
    return str(error).splitlines()[-1].strip()


def vgg_cache(name: str) -> Path:
    """Path of the cached weights of a VGG, cut after relu5_1, whether it exists or not."""
    return cache_folder() / f"{name}-imagenet1k-v1-{VGG_DEEPEST}.safetensors"


def raft_cache() -> Path:
    """Path of the cached RAFT, whether it exists or not."""
    return cache_folder() / "raft-large-c-t-skht-v2.safetensors"


def lraspp_cache() -> Path:
    """Path of the cached LRASPP, whether it exists or not."""
    return cache_folder() / "lraspp-mobilenet-v3-large-coco-voc-v1.safetensors"


def vgg_weights(name: str, path: Path | None) -> dict[str, Tensor]:
    """Weights of a VGG up to relu5_1, named as in ``Network``.

    Args:
        name: of ``VGGS``.
        path: torchvision's state dict; None: download it, once.

    Raises:
        FeaturesError: the file is missing, damaged or of another network, or the download fails.
    """
    vgg = VGGS[name]
    if path is not None:
        return _cut_vgg(vgg, read_state_dict(path, vgg.title), path)

    def fetch() -> dict[str, Tensor]:
        from torchvision import models

        published = getattr(models, vgg.published).IMAGENET1K_V1
        remedy = "weights=FILE, or use features='bundled'"
        return _cut_vgg(vgg, _download(vgg.title, published, remedy), f"torchvision's {vgg.title}")

    return _cached(vgg_cache(name), fetch)


def raft_weights() -> dict[str, Tensor]:
    """State dict of torchvision's ``raft_large`` (Teed & Deng 2020), downloaded once.

    Raises:
        FeaturesError: it cannot be downloaded.
    """

    def fetch() -> dict[str, Tensor]:
        from torchvision.models.optical_flow import Raft_Large_Weights

        return _download(
            "RAFT", Raft_Large_Weights.C_T_SKHT_V2, "flow_weights=FILE, or use flow='dis'"
        )

    return _cached(raft_cache(), fetch)


def lraspp_weights() -> dict[str, Tensor]:
    """State dict of torchvision's ``lraspp_mobilenet_v3_large`` (Howard et al. 2019), downloaded
    once.

    Raises:
        FeaturesError: it cannot be downloaded.
    """

    def fetch() -> dict[str, Tensor]:
        from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights

        published = LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
        return _download("LRASPP", published, "person_model=FILE")

    return _cached(lraspp_cache(), fetch)


def _cached(cached: Path, fetch: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    if cached.exists():
        try:
            return read_tensors(cached)[0]
        except InputError:
            cached.unlink(missing_ok=True)  # damaged: fetch it again
    weights = fetch()
    try:
        write_tensors(cached, weights, {})
    except OutputError:
        return weights  # without a cache the next run downloads again; this one can go on
    return weights


def _download(name: str, published: Any, remedy: str) -> dict[str, Tensor]:
    """torchvision's weights, hash checked, unpickled with ``weights_only``.

    The downloaded file is not kept, since ``_cached`` keeps the tensors.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    torch_cache = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rsplit("/", 1)[-1]
    try:
        # torch prints the address to standard output.
        with TemporaryDirectory(prefix="vidstyle-") as scratch, redirect_stdout(sys.stderr):
            folder = torch_cache.parent if torch_cache.exists() else scratch
            state: dict[str, Tensor] = published.get_state_dict(
                progress=True, check_hash=True, weights_only=True, model_dir=str(folder)
            )
        return state
    except (
        OSError,
        HTTPException,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:  # no network, a wrong hash
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        raise FeaturesError(
            f"{name}'s weights cannot be downloaded ({reason}): fetch {published.url} elsewhere "
            f"and give it as {remedy}",
            "weights",
            "features",
            "flow_weights",
            "flow",
            "person_model",
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)


def read_state_dict(path: Path, name: str) -> dict[str, Tensor]:
    """Read the state dict of a model from a safetensors or PyTorch file.

    Args:
        path: of the file.
        name: of the model, for messages.

    Raises:
        FeaturesError: the file cannot be read, or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)[0]
        state = torch.load(check_readable(path), map_location="cpu", weights_only=True)
    except InputError as error:
        raise FeaturesError(str(error)) from None
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError):
        raise FeaturesError(
            f"{path} holds no weights that can be read: give torchvision's state dict of {name}"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise FeaturesError(
            f"{path} holds something else than named weights: "
            f"give torchvision's state dict of {name}"
        )
    return state


def _cut_vgg(vgg: Vgg, state: dict[str, Tensor], origin: object) -> dict[str, Tensor]:
    """Rename torchvision's weights, ``features.28.weight`` -> ``conv5_1.weight``, up to relu5_1."""
    if any(name.startswith("conv1_1") for name in state):
        return state
    numbers = sorted(
        int(match[1])
        for match in (re.fullmatch(r"features\.(\d+)\.weight", name) for name in state)
        if match
    )
    layers = vgg.shape.layers[: vgg.shape.layers.index(VGG_DEEPEST) + 1]
    if len(numbers) != len(vgg.shape.layers) or any(
        f"features.{number}.bias" not in state for number in numbers
    ):
        raise FeaturesError(
            f"{origin} is not torchvision's {vgg.title}: "
            f"it has {len(numbers)} convolutions, not {len(vgg.shape.layers)}"
        )
    names = [convolution_of(layer) for layer in layers]
    return {
        f"{name}.{kind}": state[f"features.{number}.{kind}"].contiguous()
        for name, number in zip(names, numbers, strict=False)
        for kind in ("weight", "bias")
    }
