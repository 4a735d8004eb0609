"""Loading of feature weights: the bundled file, torchvision's VGG, or a trained file.

The weights of RAFT (optical flow) are downloaded and cached here too.
"""

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from ..errors import FeaturesError, InputError, printable
from ..io.tensor_file import CHECKSUM, read_tensors, write_tensors
from ..runtime.device import choose_device
from .extractor import Features, Layers
from .filter_bank import FilterBank
from .network import SMALL, Network, NetworkShape, convolution_of
from .pretrained import VGG_DEEPEST, VGGS, last_line, vgg_weights

FORMAT, VERSION = "vidstyle-network", "2"


@torch.inference_mode(False)  # weights made in it would be of no use to autograd
def load_features(
    name: str | Path = "bundled", device: str = "auto", weights: str | Path | None = None
) -> Features:
    """Load a feature extractor.

    Args:
        name: ``bundled``, ``vgg16``, ``vgg19``, or the path of a file made by
            ``vidstyle train-features``.
        device: as for ``choose_device``.
        weights: for a VGG without a download: torchvision's state dict (``.pth``), or a
            safetensors file with the same names.

    Raises:
        FeaturesError: the name is unknown, or the weights are missing, damaged, of another network,
            or cannot be downloaded.
        ValueError: ``weights`` with features other than a VGG.
    """
    target = choose_device(device)
    if name in VGGS:
        path = None if weights is None else Path(weights)
        return vgg_features(vgg_network(str(name), path)).to(target)
    if weights is not None:
        raise ValueError(
            "weights are for the vgg16 and vgg19 features: "
            "for your own file give its path as the features"
        )
    if name != "bundled" and not Path(name).exists():
        wrong = f"the feature network {printable(str(name))} does not exist"
        known = f"bundled, {', '.join(VGGS)}, or a file made by `vidstyle train-features`"
        raise FeaturesError(f"{wrong}: use {known}")
    path = (
        Path(str(resources.files("vidstyle") / "data" / "small.safetensors"))
        if name == "bundled"
        else Path(name)
    )
    return bundled_features(read_network(path)).to(target)


def vgg_network(name: str, weights: Path | None = None, pool: str = "average") -> Network:
    """A VGG up to relu5_1, with the weights of a file or else torchvision's.

    Args:
        name: ``vgg16`` or ``vgg19``.
        weights: torchvision's state dict; None: downloaded, once.
        pool: see ``NetworkShape``.

    Raises:
        FeaturesError: see ``load_features``.
    """
    network = Network(replace(VGGS[name].shape, pool=pool), VGG_DEEPEST)
    origin = weights or f"torchvision's {VGGS[name].title}"
    _load_weights(network, vgg_weights(name, weights), origin)
    return network


ORIENTED_WEIGHTS = (16.0, 16.0, 8.0, 4.0)
"""Style weights of ``oriented1`` to ``oriented4``; layers of the network have 1.

The network alone does not give clean strokes. Coarse filters cover much of the image: with larger
weights there the result copies the composition of the style image.
"""

TENSOR_WEIGHT = 8.0
"""Style weight of the structure tensor layers.

Without them strokes of all directions cross everywhere. A quarter of this weight gives a similar
result with shorter bands of parallel strokes.
"""

COLOUR_WEIGHT = 16.0
"""Style weight of ``colour``, the mean and covariance of colours. Without it an ink drawing style
adds a tint."""


DISTILLED_LAYERS = Layers(
    content={"vgg.relu2_1": 0.5, "vgg.relu3_1": 1.0, "oriented2": 0.75, "tone": 0.25},
    style={
        "vgg.relu2_1": 16.0,
        "vgg.relu3_1": 16.0,
        "vgg.relu4_2": 16.0,
        "vgg.relu5_1": 6.0,
        "oriented1": 4.0,
        "oriented2": 16.0,
        "oriented3": 8.0,
        "tensor1": 4.0,
        "tensor2": 8.0,
        "colour": COLOUR_WEIGHT,
    },
    fast_style={
        "vgg.relu2_1": 8.0,
        "vgg.relu3_1": 8.0,
        "oriented1": 4.0,
        "oriented2": 16.0,
        "tensor2": 8.0,
        "colour": COLOUR_WEIGHT,
    },
    match={"vgg.relu2_1": 1.0, "vgg.relu3_1": 1.0, "colour": 0.5},
)
"""Layers of a network that was distilled from VGG-16, with the filter bank.

Fine layers keep the subject: with ``vgg.relu4_2`` in the content loss limbs and houses melt. The
bank gives clean strokes and their directions, the network their arrangement. With more weight on
``vgg.relu5_1`` objects of the style image appear in skies, with more on ``oriented1`` ripples."""


def bundled_features(network: Network) -> Features:
    """The extractor of the bundled features and of ``train-features``: a small network with the
    filter bank."""
    if network.shape.heads:
        return Features(network, FilterBank(), layers=DISTILLED_LAYERS)
    return _undistilled_features(network)


def _undistilled_features(network: Network) -> Features:
    """The extractor of a network that was trained without a teacher: it sees half-size images."""
    bank = FilterBank()
    halves = [f"half.{layer}" for layer in network.layers if layer.endswith("_1")]
    # At full size the finest filters replace the network, for a fraction of its time.
    style = dict.fromkeys(halves, 1.0) | {"colour": COLOUR_WEIGHT}
    style |= dict(zip(bank.scales, ORIENTED_WEIGHTS, strict=True)) | dict.fromkeys(
        bank.tensors, TENSOR_WEIGHT
    )
    left_out = "half.relu4_1", "half.relu5_1", "oriented4", "tensor1", "tensor3"
    fast_style = {layer: weight for layer, weight in style.items() if layer not in left_out}
    content = {"half.relu2_1": 1.0, "half.relu3_1": 1.0, "oriented2": 0.75, "tone": 0.25}
    match = {
        "half.relu2_1": 1.0,
        "half.relu3_1": 1.0,
        "oriented2": 1.0,
        "oriented3": 1.0,
        "colour": 0.5,
    }
    return Features(network, bank, halved=True, layers=Layers(content, style, fast_style, match))


def vgg_features(network: Network) -> Features:
    """The extractor of a VGG: the layers that the bundled network predicts, from the VGG itself."""
    layers = Layers(
        *(
            {layer.removeprefix("vgg."): weight for layer, weight in (part or {}).items()}
            for part in DISTILLED_LAYERS
        )
    )
    return Features(network, FilterBank(), layers=layers)


def write_network(
    path: Path, weights: dict[str, Tensor], shape: NetworkShape = SMALL, card: str = ""
) -> None:
    """Write a feature file: safetensors in float16, with architecture and normalisation as
    metadata.

    Args:
        path: of the file.
        weights: named as in ``Network``.
        shape: of the network.
        card: a note on the training.

    Raises:
        OutputError: the file cannot be written.
    """
    halves = {name: weight.half() for name, weight in weights.items()}
    described = {
        "channels": shape.channels,
        "convolutions": shape.convolutions,
        "mean": shape.mean,
        "std": shape.std,
        "first_block": shape.first_block,
        "heads": shape.heads,
    }
    metadata = {"format": FORMAT, "version": VERSION, "card": card, "shape": json.dumps(described)}
    write_tensors(path, halves, {**metadata, "layers": " ".join(shape.layers)})


def read_network(path: Path) -> Network:
    """Read a file made by ``write_network``.

    Raises:
        FeaturesError: the file is missing, damaged, or not a feature file.
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
        heads = tuple((str(name), int(count)) for name, count in given.get("heads", ()))
        first_block = given.get("first_block", 1)
        if first_block not in (1, 2):
            raise ValueError(f"its first block is {first_block}")
        # Checked first: a few bytes of metadata could ask for any amount of memory.
        count = sum(convolutions) + len(heads)
        if min(convolutions) < 1 or count * 2 != len(weights):
            raise ValueError(f"{len(weights)} weights for {count} convolutions")
        shape = NetworkShape(
            channels, convolutions, mean, std, first_block=first_block, heads=heads
        )
        expected = {layer: shape.channels_of(layer) for layer in shape.relu_layers} | dict(heads)
        if any(
            len(weights[f"{convolution_of(layer)}.weight"]) != count
            for layer, count in expected.items()
        ):
            raise ValueError("its weights are not of its shape")
        if metadata["layers"].split() != list(shape.layers):
            raise ValueError("its layers are not those of its shape")
        network = Network(shape)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise FeaturesError(f"{not_ours} ({str(error).splitlines()[0]})") from None
    _load_weights(network, weights, path)
    return network


def _load_weights(network: Network, weights: dict[str, Tensor], origin: object) -> None:
    try:
        network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (RuntimeError, AttributeError) as error:
        raise FeaturesError(
            f"the weights of {origin} do not fit ({last_line(error)}): "
            "they are of another network or damaged"
        ) from None
