"""Large displacements: matches of patches where a flow method does not follow the frame.

Sure matches of patches are made dense by variational refinement (Brox et al. 2004), as in EpicFlow
(Revaud et al. 2015), and replace the flow near to where it fails the forward-backward check.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..io.frame import Image, fit
from .fields import (
    Flow,
    Map,
    Mask,
    Pixels,
    area_resize,
    box_filter,
    forward_backward_check,
    median_filter,
    select,
    squared_magnitude,
)
from .patch_match import filled, matches

MIN_LOST_FRACTION = 0.003
"""Part of each frame whose flow must fail the forward-backward check before patches are matched."""

THICK_WINDOW = np.ones((5, 5), np.uint8)
"""Strips of lost flow thinner than this lie beside every outline that moves."""

MIN_CONTRAST_LEVELS = 2.0
"""Contrast in code values below which flow is arbitrary, and its failure tells nothing."""

MAX_MATCHING_SIDE_PX = 512
"""Largest long side at which patches are matched; larger frames are reduced."""

SEED_MARGIN_PX, MARGIN_PX = 12, 32
"""Seeds and patches as near as this to lost flow are matched too: flow may be consistent and
wrong."""

RIM_WINDOW = np.ones((3, 3), np.uint8)
"""The patches at the rim of a region of sure matches may lie beyond its outline."""

MEDIAN_MATCHES = 3
"""Window of the median filter of the matches, in patches."""

REFINEMENTS = 20
"""Iterations of variational refinement."""

SMOOTHING_PX = 9
"""Window that smooths the steps of whole px of matches before their refinement."""

MAX_CORRECTION_PX = 4.0
"""Longest correction of a match by the refinement. A flow that is this near to it stays."""


class MatchedPixels(NamedTuple):
    """Flow of one direction, (H, W, 2), and (H, W), True where patches match beyond doubt."""

    flow: Flow
    sure: Mask


class MatchedFlow:
    """A flow method whose flow may be replaced by matches, given that of both directions.

    Args:
        method: computes the flow of one direction, see ``flow.methods.FlowMethod``.
    """

    def __init__(self, method: Callable[[Image, Image], Flow]) -> None:
        self._method = method

    def __call__(self, frame: Image, earlier: Image) -> Flow:
        """The flow of the method alone."""
        return self._method(frame, earlier)

    def matched(
        self, frames: Sequence[Pixels], flows: Sequence[Flow], contrasts: Sequence[Map]
    ) -> tuple[MatchedPixels, MatchedPixels] | None:
        """``match_patches`` where the flows do not follow the frames; None if they do.

        Args:
            frames: both, (H, W, 3) uint8.
            flows: of both, each from its frame to the other.
            contrasts: ``local_contrast`` of both.
        """
        lost = [
            _thick(~forward_backward_check(*both) & (contrast > MIN_CONTRAST_LEVELS))
            for both, contrast in zip((flows, flows[::-1]), contrasts, strict=True)
        ]
        if min(part.mean() for part in lost) < MIN_LOST_FRACTION:
            return None
        return match_patches(frames, flows, lost)


def _thick(mask: Mask) -> Mask:
    """The regions of a mask that are not as thin as the strips beside moving outlines."""
    opened: Mask = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, THICK_WINDOW) > 0
    return opened


def _grown(mask: Mask, size: tuple[int, int], margin_px: int) -> Mask:
    """The mask at another size, grown by a margin."""
    reduced = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    window = np.ones((2 * margin_px + 1, 2 * margin_px + 1), np.uint8)
    grown: Mask = cv2.dilate(reduced, window) > 0
    return grown


def match_patches(
    frames: Sequence[Pixels], flows: Sequence[Flow], lost: Sequence[Mask]
) -> tuple[MatchedPixels, MatchedPixels] | None:
    """Flow in both directions, replaced where patches match elsewhere than it says.

    Args:
        frames: both, (H, W, 3) uint8.
        flows: of both, each from its frame to the other.
        lost: of both, (H, W), where flow is to be replaced. Patches near to it are matched.

    Returns:
        For each direction; None: the flows have lost nothing.
    """
    height, width = lost[0].shape
    long_side = min(MAX_MATCHING_SIDE_PX, max(width, height))
    scale, size = long_side / max(width, height), fit((width, height), long_side)
    small_flows = [np.float32(scale) * cv2.resize(flow, size) for flow in flows]
    seeds, areas = ([_grown(part, size, px) for part in lost] for px in (SEED_MARGIN_PX, MARGIN_PX))
    found = matches([area_resize(frame, size) for frame in frames], seeds, areas, small_flows)
    if found is None:
        return None
    forward, backward = (
        _merged(pair, flow, *match, area)
        for pair, flow, match, area in zip((frames, frames[::-1]), flows, found, areas, strict=True)
    )
    return forward, backward


def _merged(
    frames: Sequence[Pixels], flow: Flow, displacements: Flow, sure: Mask, area: Mask
) -> MatchedPixels:
    """Refined matches in the area, except where flow is near to them: flow is more exact."""
    height, width = flow.shape[:2]
    if not sure.any():
        return MatchedPixels(flow, np.zeros((height, width), bool))
    inner = cv2.erode(sure.view(np.uint8), RIM_WINDOW).view(bool)
    in_area, certain = (
        cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for mask in (area, inner)
    )
    scale = np.array([width / area.shape[1], height / area.shape[0]], np.float32)
    nearest = median_filter(filled(displacements, sure), MEDIAN_MATCHES)
    dense = scale * cv2.resize(nearest, (width, height), interpolation=cv2.INTER_NEAREST)
    greys = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in frames)
    smooth = cv2.split(box_filter(dense, SMOOTHING_PX))
    method = cv2.VariationalRefinement.create()
    method.setFixedPointIterations(REFINEMENTS)
    refined: Flow = cv2.merge(method.calcUV(*greys, *smooth))  # type: ignore[assignment]
    near = squared_magnitude(refined - dense) < MAX_CORRECTION_PX**2
    refined = select(near, refined, dense)
    differs = in_area & (squared_magnitude(flow - refined) > MAX_CORRECTION_PX**2)
    return MatchedPixels(select(differs, refined, flow), certain)
