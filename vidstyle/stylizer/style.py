"""What the painting should look like: pictures, and their Gram matrices as targets."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError, OutputError
from ..features.extractor import MIN_SIDE_PX, Features
from ..io.files import check_readable, write_file
from ..io.frame import Frame, Image, fit
from ..io.images import read_image
from ..losses.objective import StyleTarget, gram
from ..losses.patch_matching import COLORS, StylePatches, extract_patches, join_patches
from ..ops.color import color_statistics
from ..ops.tensors import reflect_crop, resize, to_tensor
from .cache import TensorCache

BORDER = 0.03
"""So much of a style picture's shorter side is left away all around: frames, worn edges and signatures are no strokes."""

STROKE_PX = 16
"""What is finer than this are strokes, and what is not are tones."""

MAX_STYLE_PX = 2048
"""Style pictures are kept no larger than this (long side): no brush stroke needs more."""

CACHE = TensorCache(512 << 20)
"""What all styles were seen to be, at most 512 MiB: at 1280 x 720 px some 25 pairs of a picture and a style scale."""


class _Seen:
    """The owner of what one style picture was seen to be."""


@dataclass(frozen=True, eq=False)
class Style:
    """One or more style pictures with weights, as seen through some features.

    Gram targets depend on the size a picture is looked at. They are computed once per size, at first use, and kept
    within ``CACHE``; never again per frame.

    Args:
        pictures: each (1, 3, H, W) float32 RGB in [0, 1] on the CPU.
        weights: one per picture, not negative; they are used in proportion to their sum.
        features: how to look.

    Raises:
        ValueError: no picture, not one weight per picture, a negative or infinite weight, all weights 0.
    """

    pictures: tuple[Tensor, ...]
    weights: tuple[float, ...]
    features: Features
    _seen: tuple["_Seen", ...] = field(
        default=(), repr=False
    )  # per picture: by which the cache knows it, in blends too

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ValueError("a style needs at least one picture")
        if len(self.weights) != len(self.pictures):
            raise ValueError(
                f"{len(self.weights)} style weights for {len(self.pictures)} style pictures: give one each"
            )
        if (
            not all(weight >= 0 for weight in self.weights)
            or not 0 < sum(self.weights) <= sys.float_info.max
        ):
            given = list(self.weights)
            raise ValueError(
                f"style weights must be 0 or more, not all 0, with a finite sum; not {given}"
            )
        if not self._seen:
            object.__setattr__(self, "_seen", tuple(_Seen() for _ in self.pictures))

    def __repr__(self) -> str:
        """Sizes and weights of the style images, without their pixels."""
        images = ", ".join(
            f"{picture.shape[-1]}x{picture.shape[-2]} weight {weight:g}"
            for picture, weight in zip(self.pictures, self.weights, strict=True)
        )
        return f"Style({images})"

    @classmethod
    def from_images(
        cls,
        images: Sequence[str | Path | Image],
        features: Features,
        weights: Sequence[float] | None = None,
    ) -> "Style":
        """A style from picture files or (H, W, 3 or 4) uint8 RGB(A) arrays, blended by ``weights`` (default: equally).

        Raises:
            InputError: a file that is no picture.
        """
        if isinstance(images, (str, Path)):
            raise TypeError("images must be a list of pictures, not a single path")
        pictures = []
        for image in images:
            read = read_image(image, reduced=True) if isinstance(image, (str, Path)) else image
            picture = to_tensor(Frame(read).image)
            picture = _inside(picture)
            size = _looked_at((picture.shape[-1], picture.shape[-2]), MAX_STYLE_PX)
            pictures.append(resize(picture, size))
        return cls(
            tuple(pictures),
            tuple(weights) if weights is not None else (1.0,) * len(pictures),
            features,
        )

    @classmethod
    def blend(cls, styles: Sequence["Style"], weights: Sequence[float]) -> "Style":
        """All the styles' pictures, each style in proportion to its weight. What was looked at is not looked at again.

        A picture that several styles have is taken once, with the sum of its weights, so that
        blends of blends do not grow.
        """
        if len(weights) != len(styles):
            raise ValueError(f"{len(weights)} weights for {len(styles)} styles: give one each")
        pictures: dict[int, tuple[Tensor, _Seen]] = {}
        shares: dict[int, float] = {}
        for style, weight in zip(styles, weights, strict=True):
            for picture, share, seen in zip(
                style.pictures, style.weights, style._seen, strict=True
            ):
                pictures.setdefault(id(picture), (picture, seen))
                shares[id(picture)] = shares.get(id(picture), 0.0) + weight * (
                    share / sum(style.weights)
                )
        joined, seen_of = zip(*pictures.values(), strict=True)
        return cls(joined, tuple(shares.values()), styles[0].features, seen_of)

    def grams(self, size_px: int, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Gram targets, layer -> as ``gram`` makes it, of pictures with a long side of ``size_px`` (never enlarged)."""
        layers, sizes, total = tuple(dict.fromkeys(layers)), self._sizes(size_px), sum(self.weights)
        with CACHE.lookup():
            found = {layer: CACHE.find(self, (sizes, layer)) for layer in layers}
            missing = [layer for layer in layers if found[layer] is None]
            if missing:
                sums: dict[str, Tensor] = {}
                for number, weight in enumerate(self.weights):
                    for layer, matrix in self._grams_of(number, sizes[number], missing).items():
                        part = matrix * (weight / total)
                        sums[layer] = sums[layer] + part if layer in sums else part
                found.update(
                    {
                        layer: CACHE.keep(self, (sizes, layer), matrix)
                        for layer, matrix in sums.items()
                    }
                )
            return found

    def _grams_of(
        self, number: int, size: tuple[int, int], layers: Sequence[str]
    ) -> dict[str, Tensor]:
        """Layer -> Gram matrix of one of the pictures, looked at in a size (width, height)."""
        seen = self._seen[number]
        found = {layer: CACHE.find(seen, (size, layer)) for layer in layers}
        missing = [layer for layer in layers if found[layer] is None]
        if missing:
            with torch.no_grad():
                maps = self.features(
                    resize(self.pictures[number], size).to(self.features.device), missing
                )
            found.update(
                {layer: CACHE.keep(seen, (size, layer), gram(maps[layer])) for layer in missing}
            )
        return found

    def target(self, size_px: int, layer_weights: Mapping[str, float]) -> StyleTarget:
        """What ``grams`` ask for, each as much as it counts."""
        key = self._sizes(size_px), tuple(layer_weights.items())
        with CACHE.lookup():
            return CACHE.get(
                self, key, lambda: StyleTarget.of(self.grams(size_px, layer_weights), layer_weights)
            )

    def spots(self, size_px: int) -> StylePatches:
        """What places in it look like, at a long side of ``size_px``, blended by weight."""
        sizes = self._sizes(size_px)
        with CACHE.lookup():
            return CACHE.get(self, (sizes, "spots"), lambda: self._joined_spots(sizes))

    def _joined_spots(self, sizes: Sequence[tuple[int, int]]) -> StylePatches:
        found = [
            CACHE.get(seen, (size, "spots"), partial(self._spots_of, picture, size))
            for picture, seen, size in zip(self.pictures, self._seen, sizes, strict=True)
        ]
        total = sum(self.weights)
        return join_patches(
            found, [weight / total for weight in self.weights], self.features.match_layers
        )

    def _spots_of(self, picture: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        with torch.no_grad():
            return extract_patches(resize(picture, size).to(self.features.device), self.features)

    def strokes(self, size_px: int, size: tuple[int, int]) -> Tensor:
        """What of the weightiest picture, looked at a long side of ``size_px``, is finer than ``STROKE_PX``: no tones, as a
        difference from them, (1, 3, H, W); mirrored at its borders to fill ``size`` (width, height)."""
        number = max(range(len(self.weights)), key=self.weights.__getitem__)
        looked_at = self._sizes(size_px)[number]
        with CACHE.lookup():
            key = looked_at, "strokes", size
            return CACHE.get(
                self._seen[number], key, lambda: self._strokes_of(number, looked_at, size)
            )

    def _strokes_of(self, number: int, looked_at: tuple[int, int], size: tuple[int, int]) -> Tensor:
        picture, (across, down) = resize(self.pictures[number], looked_at), looked_at
        tones = resize(picture, (max(1, across // STROKE_PX), max(1, down // STROKE_PX)))
        return reflect_crop(picture - resize(tones, (across, down)), *size).to(self.features.device)

    def colours(self) -> Tensor:
        """Its colours, blended by weight, as ``color_statistics`` makes them."""
        total = sum(self.weights)
        with CACHE.lookup():
            parts = [
                weight / total * self._colours_of(number)
                for number, weight in enumerate(self.weights)
            ]
        return torch.stack(parts).sum(0)

    def _colours_of(self, number: int) -> Tensor:
        return CACHE.get(
            self._seen[number],
            COLORS,
            lambda: color_statistics(self.pictures[number]).to(self.features.device),
        )

    def _sizes(self, size_px: int) -> tuple[tuple[int, int], ...]:
        """(width, height) of each picture when it is looked at: the same for all sizes beyond a picture's own."""
        return tuple(
            _looked_at((picture.shape[-1], picture.shape[-2]), size_px) for picture in self.pictures
        )

    def save(self, path: str | Path) -> None:
        """Write pictures and weights as safetensors.

        Raises:
            OutputError: the file cannot be written; what was there before is untouched.
        """
        tensors = {
            f"picture{i}": (picture * 255).round().to(torch.uint8)
            for i, picture in enumerate(self.pictures)
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
                pictures = tuple(file.get_tensor(f"picture{i}").float() / 255 for i in range(count))
                weights = tuple(file.get_tensor("weights").tolist())
        except SafetensorError as error:
            raise InputError(
                f"{path} is not a style file ({error}): make one with Style.save"
            ) from None
        return cls(pictures, weights, features)


def _inside(picture: Tensor) -> Tensor:
    """Without its border."""
    height, width = picture.shape[-2:]
    border = round(BORDER * min(height, width))
    return picture[..., border : height - border, border : width - border]


def _looked_at(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Never enlarged, but no side below what the features can see."""
    width, height = fit(size, min(long_side, max(size)))
    return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)
