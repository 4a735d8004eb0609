"""Where the features' weights come from: the bundled file, torchvision's VGG-19, or a file of the user's own."""

import json
import os
import pickle
import re
import socket
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ..errors import FeaturesError, InputError, OutputError
from ..io.files import check_readable
from ..io.tensor_file import CHECKSUM, read_tensors, write_tensors
from ..runtime.device import choose_device
from .extractor import Features, Layers
from .filter_bank import FilterBank
from .network import SMALL, VGG19, Network, NetworkShape, block_of, convolution_of

FORMAT, VERSION = "vidstyle-network", "2"
VGG19_DEEPEST = "relu5_1"
VGG19_STYLE = dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 1.0)
VGG19_MATCH = {"relu2_1": 1.0, "relu3_1": 1.0}
VGG19_FEW = dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1"), 1.0)


def load_features(
    name: str | Path = "bundled", device: str = "auto", weights: str | Path | None = None
) -> Features:
    """Features ready to use.

    Args:
        name: ``bundled``, ``vgg19``, or the path of a file made by ``vidstyle train-features``.
        device: as for ``choose_device``.
        weights: for ``vgg19``, torchvision's own state dict (``.pth``) or a safetensors file with the same names,
            where downloading is impossible or unwanted.

    Raises:
        FeaturesError: weights that are missing, damaged or of another kind, or cannot be downloaded.
        ValueError: ``weights`` given for features that have their own.
    """
    target = choose_device(device)
    if name == "vgg19":
        network = Network(VGG19, VGG19_DEEPEST)
        _fill(
            network,
            _vgg19_weights(None if weights is None else Path(weights)),
            weights or "torchvision's VGG-19",
        )
        return gatys_features(network).to(target)
    if weights is not None:
        raise ValueError(
            "weights are for the vgg19 features: for your own file give its path as the features"
        )
    path = (
        Path(str(resources.files("vidstyle") / "data" / "small.safetensors"))
        if name == "bundled"
        else Path(name)
    )
    return bundled_features(read_network(path)).to(target)


ORIENTED_WEIGHTS = (16.0, 16.0, 8.0, 4.0)
"""Of the maps of oriented filters, where each of the network's has 1: clean strokes are what the network alone lacks.

The coarser a map, the more of the picture each filter covers; with much weight there a painting copies where things are.
"""

TENSOR_WEIGHT = 8.0
"""Of the maps of which way strokes run. Without them strokes of all directions cross everywhere; a quarter of it paints much the
same, in shorter bands."""

COLOUR_WEIGHT = 16.0
"""Of the colours' mean and covariance: without it an ink drawing takes on a tint."""


def bundled_features(network: Network) -> Features:
    """A small network joined with the bank: the bundled features, and those of ``train-features``."""
    bank = FilterBank()
    halves = [f"half.{layer}" for layer in network.layers if layer.endswith("_1")]
    # The finest filters see what the network would at full size, for a fraction of its time.
    style = dict.fromkeys(halves, 1.0) | {"colour": COLOUR_WEIGHT}
    style |= dict(zip(bank.scales, ORIENTED_WEIGHTS, strict=True)) | dict.fromkeys(
        bank.tensors, TENSOR_WEIGHT
    )
    left_out = "half.relu4_1", "half.relu5_1", "oriented4", "tensor1", "tensor3"
    few = {layer: weight for layer, weight in style.items() if layer not in left_out}
    content = {"half.relu2_1": 1.0, "half.relu3_1": 1.0, "oriented2": 0.75, "tone": 0.25}
    match = {
        "half.relu2_1": 1.0,
        "half.relu3_1": 1.0,
        "oriented2": 1.0,
        "oriented3": 1.0,
        "colour": 0.5,
    }
    return Features(network, bank, halved=True, layers=Layers(content, style, few, match))


def gatys_features(network: Network) -> Features:
    """VGG-19 with the layers of Gatys et al. (2016)."""
    return Features(network, layers=Layers({"relu4_2": 1.0}, VGG19_STYLE, VGG19_FEW, VGG19_MATCH))


def write_network(
    path: Path, weights: dict[str, Tensor], shape: NetworkShape = SMALL, card: str = ""
) -> None:
    """Write a network's weights in half precision; its shape, layers, normalisation and a note on its training as metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    halves = {name: weight.half() for name, weight in weights.items()}
    described = {
        "channels": shape.channels,
        "convolutions": shape.convolutions,
        "mean": shape.mean,
        "std": shape.std,
    }
    metadata = {"format": FORMAT, "version": VERSION, "card": card, "shape": json.dumps(described)}
    write_tensors(path, halves, {**metadata, "layers": " ".join(shape.layers)})


def read_network(path: Path) -> Network:
    """The network in a file made by ``write_network``.

    Raises:
        FeaturesError: missing, damaged, or something else.
    """
    try:
        weights, metadata = read_tensors(path)
    except InputError as error:
        raise FeaturesError(str(error)) from None
    not_ours = f"{path} is not a feature file: give one made by `vidstyle train-features`"
    if metadata.get("format") != FORMAT:
        raise FeaturesError(not_ours)
    if metadata.get("version") != VERSION:
        wrong = f"{path} is of version {metadata.get('version')}, this vidstyle reads {VERSION}"
        raise FeaturesError(f"{wrong}: train it again, or use the vidstyle that made it")
    if CHECKSUM not in metadata:
        raise FeaturesError(f"{path} carries no SHA-256: train it again")
    try:
        given = json.loads(metadata["shape"])
        channels, convolutions, mean, std = (
            tuple(given[key]) for key in ("channels", "convolutions", "mean", "std")
        )
        if min(convolutions) < 1 or sum(convolutions) * 2 != len(
            weights
        ):  # else a few bytes could ask for any amount of memory
            raise ValueError(f"{len(weights)} weights for {sum(convolutions)} convolutions")
        shape = NetworkShape(channels, convolutions, mean, std)
        if any(
            len(weights[f"{convolution_of(layer)}.weight"]) != channels[block_of(layer) - 1]
            for layer in shape.layers
        ):
            raise ValueError("its weights are not of its shape")
        if metadata["layers"].split() != list(shape.layers):
            raise ValueError("its layers are not those of its shape")
        network = Network(shape)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise FeaturesError(f"{not_ours} ({str(error).splitlines()[0]})") from None
    _fill(network, weights, path)
    return network


def _fill(network: Network, weights: dict[str, Tensor], origin: object) -> None:
    try:
        network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (RuntimeError, AttributeError) as error:
        raise FeaturesError(
            f"the weights of {origin} do not fit ({last_line(error)}): they are of another network or damaged"
        ) from None


def last_line(error: Exception) -> str:
    """The last line of an error's message."""
    return str(error).splitlines()[-1].strip()


def cache_folder() -> Path:
    """Where downloaded weights are kept: ``$XDG_CACHE_HOME/vidstyle``, by default ``~/.cache/vidstyle``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidstyle"


def vgg19_cache() -> Path:
    """The cached cut VGG-19, there or not."""
    return cache_folder() / "vgg19-imagenet1k-v1-relu5_1.safetensors"


def raft_cache() -> Path:
    """The cached RAFT, there or not."""
    return cache_folder() / "raft-large-c-t-skht-v2.safetensors"


def _vgg19_weights(path: Path | None) -> dict[str, Tensor]:
    """Weights under our names, of the layers up to relu5_1 only."""
    if path is not None:
        return _cut_vgg19(read_state_dict(path, "VGG-19"), path)

    def fetch() -> dict[str, Tensor]:
        from torchvision.models import VGG19_Weights

        remedy = "weights=FILE, or use features='bundled'"
        return _cut_vgg19(
            _download("VGG-19", VGG19_Weights.IMAGENET1K_V1, remedy), "torchvision's VGG-19"
        )

    return _cached(vgg19_cache(), fetch)


def raft_weights() -> dict[str, Tensor]:
    """The state dict of torchvision's ``raft_large``, downloaded once."""

    def fetch() -> dict[str, Tensor]:
        from torchvision.models.optical_flow import Raft_Large_Weights

        return _download(
            "RAFT", Raft_Large_Weights.C_T_SKHT_V2, "flow_weights=FILE, or use flow='dis'"
        )

    return _cached(raft_cache(), fetch)


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
        return weights  # a cache that cannot be written costs a download, not the render
    return weights


def _download(name: str, published: Any, remedy: str) -> dict[str, Tensor]:
    """torchvision's own weights, their hash checked, read as data only. The download itself is not kept: our cache is."""
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    had_before = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rsplit("/", 1)[-1]
    try:
        with (
            TemporaryDirectory(prefix="vidstyle-") as scratch,
            redirect_stdout(sys.stderr),
        ):  # torch prints the address
            folder = had_before.parent if had_before.exists() else scratch
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
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def read_state_dict(path: Path, name: str) -> dict[str, Tensor]:
    """Read a safetensors file or a PyTorch state dict of the model ``name``.

    Raises:
        FeaturesError: the file cannot be read or holds something else.
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
            f"{path} holds something else than named weights: give torchvision's state dict of {name}"
        )
    return state


def _cut_vgg19(state: dict[str, Tensor], origin: object) -> dict[str, Tensor]:
    """torchvision's ``features.28.weight`` -> ``conv5_1.weight``; fully connected and deeper layers are left out."""
    if any(name.startswith("conv1_1") for name in state):
        return state
    numbers = sorted(
        int(match[1])
        for match in (re.fullmatch(r"features\.(\d+)\.weight", name) for name in state)
        if match
    )
    layers = VGG19.layers[: VGG19.layers.index(VGG19_DEEPEST) + 1]
    if len(numbers) != len(VGG19.layers) or any(
        f"features.{number}.bias" not in state for number in numbers
    ):
        raise FeaturesError(
            f"{origin} is not torchvision's VGG-19: it has {len(numbers)} convolutions, not {len(VGG19.layers)}"
        )
    names = [convolution_of(layer) for layer in layers]
    return {
        f"{name}.{kind}": state[f"features.{number}.{kind}"].contiguous()
        for name, number in zip(names, numbers, strict=False)
        for kind in ("weight", "bias")
    }
