"""The style: style images with weights, and their cached statistics."""

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError, OutputError
from ..features.extractor import MIN_SIDE_PX, Features
from ..io.files import check_readable, write_file
from ..io.frame import Frame, Image, fit
from ..io.images import read_image
from ..losses.base import Loss, StyleSize
from ..losses.patches import COLORS, StylePatches, extract_patches, join_patches
from ..losses.style import gram
from ..ops.color import color_statistics
from ..ops.tensors import resize, to_tensor
from .cache import TensorCache

BORDER = 0.03
"""Share of a style image's shorter side cut off at each side: frames, worn edges and signatures are
no strokes."""

MAX_STYLE_PX = 2048
"""Long side in px that larger style images are reduced to: no brush stroke needs more."""

CACHE = TensorCache(512 << 20)
"""Statistics of all styles, at most 512 MiB: at 1280 x 720 px some 25 pairs of a style image and a
style scale."""


class _ImageKey:
    """The owner of the cached statistics of one style image."""


@dataclass(frozen=True, eq=False)
class Style:
    """Style images with weights, and their statistics through some features.

    The statistics depend on the size at which an image is analysed. They are computed once for each
    size, at first use, and kept within ``CACHE``; never again for each frame. Several threads may
    use one style at once.

    Args:
        images: each (1, 3, H, W) float32 RGB in [0, 1] on the CPU.
        weights: one per image, not negative; relative to their sum.
        features: compute activations.

    Raises:
        ValueError: no image, not one weight per image, a negative or infinite weight, all weights
            0.
    """

    images: tuple[Tensor, ...]
    weights: tuple[float, ...]
    features: Features
    # Keys of the cache, one per image; blends share them.
    _keys: tuple["_ImageKey", ...] = field(default=(), repr=False)

    @property
    def pictures(self) -> tuple[Tensor, ...]:
        """The old name of ``images``. It works for one more version."""
        warnings.warn("Style.pictures is now images", DeprecationWarning, stacklevel=2)
        return self.images

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("a style needs at least one image")
        if len(self.weights) != len(self.images):
            raise ValueError(
                f"{len(self.weights)} style weights for {len(self.images)} style images: "
                "give one each"
            )
        if (
            not all(weight >= 0 for weight in self.weights)
            or not 0 < sum(self.weights) <= sys.float_info.max
        ):
            given = list(self.weights)
            raise ValueError(
                f"style weights must be 0 or more, not all 0, with a finite sum; not {given}"
            )
        if not self._keys:
            object.__setattr__(self, "_keys", tuple(_ImageKey() for _ in self.images))

    def __repr__(self) -> str:
        """Sizes and weights of the style images, without their pixels."""
        images = ", ".join(
            f"{image.shape[-1]}x{image.shape[-2]} weight {weight:g}"
            for image, weight in zip(self.images, self.weights, strict=True)
        )
        return f"Style({images})"

    @classmethod
    def from_images(
        cls,
        images: Sequence[str | Path | Image],
        features: Features,
        weights: Sequence[float] | None = None,
    ) -> "Style":
        """A style of image files or (H, W, 3 or 4) uint8 RGB(A) arrays.

        Args:
            images: their alpha is ignored; a small border is cut off.
            features: of the stylizer.
            weights: of each image; None: all equal.

        Raises:
            InputError: a file that is not an image.
        """
        if isinstance(images, (str, Path)):
            raise TypeError("images must be a list of images, not a single path")
        tensors = []
        for image in images:
            read = read_image(image, reduced=True) if isinstance(image, (str, Path)) else image
            tensor = _without_border(to_tensor(Frame(read).image))
            size = _analysed_size((tensor.shape[-1], tensor.shape[-2]), StyleSize(MAX_STYLE_PX))
            tensors.append(resize(tensor, size))
        given = tuple(weights) if weights is not None else (1.0,) * len(tensors)
        return cls(tuple(tensors), given, features)

    @classmethod
    def blend(cls, styles: Sequence["Style"], weights: Sequence[float]) -> "Style":
        """All images of several styles, in proportion to the weights; cached statistics are shared.

        An image of several styles is taken once, with the sum of its weights, so that blends of
        blends do not grow.
        """
        if len(weights) != len(styles):
            raise ValueError(f"{len(weights)} weights for {len(styles)} styles: give one each")
        if any(style.features is not styles[0].features for style in styles):
            raise ValueError("the styles have different features: use Style.with_features")
        images: dict[int, tuple[Tensor, _ImageKey]] = {}
        shares: dict[int, float] = {}
        for style, weight in zip(styles, weights, strict=True):
            for image, share, key in zip(style.images, style.weights, style._keys, strict=True):
                images.setdefault(id(image), (image, key))
                part = weight * (share / sum(style.weights))
                shares[id(image)] = shares.get(id(image), 0.0) + part
        tensors, keys = zip(*images.values(), strict=True)
        return cls(tensors, tuple(shares.values()), styles[0].features, keys)

    def with_features(self, features: Features) -> "Style":
        """The same images, analysed by other features, or by the same on another device."""
        return Style(self.images, self.weights, features)

    def resized_images(self, size: StyleSize) -> list[tuple[float, Tensor]]:
        """Share and image of each style image, for losses of other packages.

        Args:
            size: at which the images are analysed.

        Returns:
            (share, (1, 3, H, W) RGB in [0, 1] on the features' device); shares sum to 1.
        """
        sizes, total = self._sizes(size), sum(self.weights)
        return [
            (weight / total, resize(image, width_height).to(self.features.device))
            for image, weight, width_height in zip(self.images, self.weights, sizes, strict=True)
        ]

    def targets(self, losses: Iterable[Loss], size: StyleSize) -> tuple[Any, ...]:
        """The part of each loss's target from the style (``Loss.style_target``), cached.

        Args:
            losses: constants; the key of the cache.
            size: at which the style images are analysed.
        """
        sizes = self._sizes(size)
        with CACHE.lookup():
            return tuple(
                CACHE.get(self, (sizes, loss), partial(self._target, loss, size)) for loss in losses
            )

    def _target(self, loss: Loss, size: StyleSize) -> Any:
        with torch.no_grad():
            return loss.style_target(self, size)

    def grams(self, size: StyleSize, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Gram matrices, the average over the style images by weight.

        Args:
            size: at which the style images are analysed.
            layers: names of feature layers.

        Returns:
            layer -> (C, C).
        """
        layers, sizes, total = tuple(dict.fromkeys(layers)), self._sizes(size), sum(self.weights)
        with CACHE.lookup():
            found = {layer: CACHE.find(self, (sizes, layer)) for layer in layers}
            missing = [layer for layer in layers if found[layer] is None]
            if missing:
                sums: dict[str, Tensor] = {}
                for number, weight in enumerate(self.weights):
                    for layer, matrix in self._image_grams(number, sizes[number], missing).items():
                        part = matrix * (weight / total)
                        sums[layer] = sums[layer] + part if layer in sums else part
                for layer, matrix in sums.items():
                    found[layer] = CACHE.keep(self, (sizes, layer), matrix)
            return found

    def _image_grams(
        self, number: int, size: tuple[int, int], layers: Sequence[str]
    ) -> dict[str, Tensor]:
        """Layer -> Gram matrix of one of the images, analysed at a size (width, height)."""
        key = self._keys[number]
        found = {layer: CACHE.find(key, (size, layer)) for layer in layers}
        missing = [layer for layer in layers if found[layer] is None]
        if missing:
            image = resize(self.images[number], size).to(self.features.device)
            with torch.no_grad():
                activations = self.features(image, missing)
            for layer in missing:
                found[layer] = CACHE.keep(key, (size, layer), gram(activations[layer]))
        return found

    def patches(self, size: StyleSize) -> StylePatches:
        """Patches of the images at a size, in proportion to their weights."""
        sizes = self._sizes(size)
        with CACHE.lookup():
            return CACHE.get(self, (sizes, "patches"), lambda: self._join_patches(sizes))

    def _join_patches(self, sizes: Sequence[tuple[int, int]]) -> StylePatches:
        found = [
            CACHE.get(key, (size, "patches"), partial(self._image_patches, image, size))
            for image, key, size in zip(self.images, self._keys, sizes, strict=True)
        ]
        total = sum(self.weights)
        shares = [weight / total for weight in self.weights]
        return join_patches(found, shares, self.features.match_layers)

    def _image_patches(self, image: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        with torch.no_grad():
            return extract_patches(resize(image, size).to(self.features.device), self.features)

    def color_statistics(self) -> Tensor:
        """Mean and covariance of the colours, averaged by weight, (4, 4): see ``ops.color``."""
        total = sum(self.weights)
        with CACHE.lookup():
            parts = [
                weight / total * self._image_color_statistics(number)
                for number, weight in enumerate(self.weights)
            ]
        return torch.stack(parts).sum(0)

    def _image_color_statistics(self, number: int) -> Tensor:
        def make() -> Tensor:
            return color_statistics(self.images[number]).to(self.features.device)

        return CACHE.get(self._keys[number], COLORS, make)

    def _sizes(self, size: StyleSize) -> tuple[tuple[int, int], ...]:
        """(width, height) at which each image is analysed."""
        return tuple(
            _analysed_size((image.shape[-1], image.shape[-2]), size) for image in self.images
        )

    def save(self, path: str | Path) -> None:
        """Write images and weights as safetensors.

        Raises:
            OutputError: the file cannot be written; what was there before is untouched.
        """
        tensors = {
            f"picture{i}": (image * 255).round().to(torch.uint8)
            for i, image in enumerate(self.images)
        }
        tensors["weights"] = torch.tensor(self.weights, dtype=torch.float64)
        try:
            write_file(Path(path), save(tensors, {"format": "vidstyle-style"}))
        except OSError as error:
            raise OutputError(
                f"cannot write {path} ({error.strerror}): free some space or choose another place"
            ) from None

    @classmethod
    def load(cls, path: str | Path, features: Features) -> "Style":
        """Read what ``save`` wrote.

        Raises:
            InputError: not such a file.
        """
        try:
            with safe_open(check_readable(path), "pt") as file:
                count = len(file.keys()) - 1
                images = tuple(file.get_tensor(f"picture{i}").float() / 255 for i in range(count))
                weights = tuple(file.get_tensor("weights").tolist())
        except SafetensorError as error:
            raise InputError(
                f"{path} is not a style file ({error}): make one with Style.save"
            ) from None
        return cls(images, weights, features)


def _without_border(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    border = round(BORDER * min(height, width))
    return image[..., border : height - border, border : width - border]


def _analysed_size(image_size: tuple[int, int], size: StyleSize) -> tuple[int, int]:
    """(width, height) at which an image is analysed: no side below ``MIN_SIDE_PX``."""
    long_side = round(size.scale * min(size.working_px, max(image_size)))
    width, height = fit(image_size, min(long_side, MAX_STYLE_PX))
    return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)
