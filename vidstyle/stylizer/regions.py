"""Regions: parts of a frame with styles and settings of their own (Gatys et al. 2017, section 4).

The masks guide the objective: Gram matrices and matched patches of a region are those of its style.
One image is optimised, so strokes meet at the borders.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import SettingValueError
from ..features.extractor import Features
from ..io.frame import Frame
from ..losses.base import Loss, Regions, StyleSize
from ..losses.objective import StyleContext
from ..ops.tensors import constant, emphasis_of, painted_of, regions_of, resize
from ..settings import Settings
from .style import Style

REGION_SETTINGS = "strength", "style_scale", "content_weight"
"""Settings that a region may have of its own."""


@dataclass(frozen=True)
class Region:
    """The style and the settings of one region.

    Args:
        style: None: that of the rest of the frame.
        settings: values of some of ``REGION_SETTINGS``; the others are those of the rest.
        name: by which keyframes name it.
        fading: its style is changing, and that of the frame is not: the previous frame does not
            hold the region.

    Raises:
        ValueError: a setting that a region cannot have.
    """

    style: Style | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    fading: bool = False

    def __post_init__(self) -> None:
        for name in self.settings:
            if name not in REGION_SETTINGS:
                raise ValueError(
                    f"{name} cannot differ between regions: use one of {', '.join(REGION_SETTINGS)}"
                )

    def with_features(self, features: Features) -> "Region":
        """The same region, its style analysed by other features."""
        return replace(self, style=self.style and self.style.with_features(features))

    def changed(self, settings: Settings) -> Settings:
        """The settings within the region."""
        return replace(settings, **dict(self.settings))  # type: ignore[arg-type]


def check_content_weights(regions: Iterable[Region], content_weight: float) -> None:
    """Raise ValueError if a region has a content weight, and the frame's is 0."""
    if not content_weight and any(region.settings.get("content_weight") for region in regions):
        raise SettingValueError(
            "content_weight is 0 and that of a region is not: give the frame a small one, such as "
            "content_weight=0.001",
            "content_weight",
        )


class FrameRegions(NamedTuple):
    """The regions of one frame.

    Attributes:
        regions: their styles and settings.
        masks: (1, R, H, W) in [0, 1], of the size of the frame.
    """

    regions: Sequence[Region]
    masks: Tensor


class FrameGuides(NamedTuple):
    """What guides the objective of one frame besides its content and style.

    Attributes:
        regions: None: it has none.
        painted: (1, 4, H, W) RGBA in [0, 1], the painting that it is held to, see
            ``Frame.painted``; None: it has none.
        emphasis: (1, 1, H, W) in [0, 1], 1 where the content counts more; None: nowhere.
    """

    regions: FrameRegions | None = None
    painted: Tensor | None = None
    emphasis: Tensor | None = None

    def changing(self) -> Tensor | None:
        """Where styles of regions are changing, (1, 1, H, W) in [0, 1]; None: nowhere."""
        if self.regions is None:
            return None
        masks, regions = self.regions.masks.unbind(1), self.regions.regions
        fading = [mask for mask, region in zip(masks, regions, strict=True) if region.fading]
        return torch.stack(fading, 1).sum(1, keepdim=True).clamp(max=1) if fading else None


def frame_guides(frame: Frame, regions: Sequence[Region], device: torch.device) -> FrameGuides:
    """The regions and the painting of a frame.

    Raises:
        ValueError: not one mask for each region.
    """
    masks = regions_of(frame, device) if regions else None
    others = painted_of(frame, device), emphasis_of(frame, device)
    if masks is None:
        return FrameGuides(None, *others)
    if masks.shape[1] != len(regions):
        raise ValueError(
            f"the frame has {masks.shape[1]} masks for {len(regions)} regions: give one each"
        )
    return FrameGuides(FrameRegions(regions, masks), *others)


def style_context(
    style: Style,
    settings: Settings,
    losses: Mapping[Loss, float],
    content: Tensor,
    guides: FrameGuides = FrameGuides(),  # noqa: B008 (immutable)
) -> StyleContext:
    """The ``StyleContext`` of frames of the size of ``content``; cached by the styles.

    Args:
        style: of the frame, or of all but its regions.
        settings: the same.
        losses: of the objective.
        content: (1, 3, H, W).
        guides: of the frame, of any size.
    """
    size = content.shape[-1], content.shape[-2]
    painted, emphasis = (
        None if each is None else resize(each, size) for each in (guides.painted, guides.emphasis)
    )
    if not settings.painted_weight:
        painted = None
    regions = _painting_apart(guides.regions, painted, size)
    if regions is None:
        targets = style.targets(losses, style_size(settings, size))
        return StyleContext(style.color_statistics(), targets, None, painted, emphasis)
    masks = with_rest(resize(regions.masks, size))
    parts = [(style, settings)]
    parts += [(region.style or style, region.changed(settings)) for region in regions.regions]
    of_parts = [each.targets(losses, style_size(changed, size)) for each, changed in parts]
    base = settings.content_weight or 1.0
    gains = tuple(changed.content_weight / base for _, changed in parts)
    held = 1.0, *(0.0 if region.fading else 1.0 for region in regions.regions)
    return StyleContext(
        torch.stack([each.color_statistics() for each, _ in parts]),
        tuple(zip(*of_parts, strict=True)),
        Regions(masks, constant(gains, content.device), constant(held, content.device)),
        painted,
        emphasis,
    )


def _painting_apart(
    regions: FrameRegions | None, painted: Tensor | None, size: tuple[int, int]
) -> FrameRegions | None:
    """The regions at this size, with the painting as one more.

    What the style fills in has the style's statistics by itself: together with the painting it
    would make up for that, in garish colours.
    """
    if painted is None or regions is None:
        return regions if painted is None else FrameRegions((Region(),), painted[:, 3:])
    alpha = painted[:, 3:]
    masks = with_rest(resize(regions.masks, size))[:, 1:] * (1 - alpha)
    return FrameRegions((*regions.regions, Region()), torch.cat([masks, alpha], 1))


def style_size(settings: Settings, size: Sequence[int]) -> StyleSize:
    """Size at which the style images are analysed for a frame that is optimised at (width, height)
    px, in any order."""
    return StyleSize(max(size), settings.style_scale)


def with_rest(masks: Tensor) -> Tensor:
    """Masks of regions, (1, R, H, W), with that of the rest of the frame before them.

    Where regions overlap, their masks are divided by their sum.

    Returns:
        (1, R + 1, H, W), which sum to 1 at each pixel.
    """
    total = masks.sum(1, keepdim=True)
    return torch.cat([(1 - total).clamp_min(0), masks / total.clamp_min(1)], 1)


def region_strengths(regions: FrameRegions, strength: float) -> Tensor:
    """The strength at each pixel, (1, 1, H, W); ``strength`` is that of the rest of the frame."""
    values = [strength, *(region.settings.get("strength", strength) for region in regions.regions)]
    parts = with_rest(regions.masks).unbind(1)
    strengths = [part * value for part, value in zip(parts, values, strict=True)]
    return torch.stack(strengths).sum(0)[:, None]
