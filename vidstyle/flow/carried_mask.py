"""A mask that is drawn on one frame, carried along the motion to the frame next to it.

The mask is warped by the optical flow, and its outline is then found anew by GrabCut (Rother et al.
2004) within a band around it, so that errors of the flow do not add up.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..io.frame import Image, to_8_bits
from .motion import Motion
from .warp import resize_flow, warp

MAX_SIDE_PX = 480
"""Long side at which outlines are found: GrabCut takes a quarter of a second at this size."""

BAND = 0.02
"""Half of the width of the band, as a fraction of the long side: flow hardly errs by more."""

MARGIN = 0.15
"""Margin around the mask, as a fraction of the long side: the background near to it is compared."""

GRABCUT_ITERATIONS = 2

MIN_AREA = 0.0005
"""Share of the frame below which a mask has no outline to be found anew."""

SMOOTHING_PX = 5
"""Window of the median filter of the outline, and of the closing of holes in the mask: smaller
things are noise."""

Mask = NDArray[np.uint8]
"""(H, W): 255 inside, 0 outside, between them on soft edges."""


def carried_mask(mask: Mask, image: Image, motion: Motion) -> Mask:
    """The mask of a frame, from that of a neighbour: of the frame before it, or after it.

    Args:
        mask: of the neighbour.
        image: (H, W, 3 or 4), the frame.
        motion: from the frame to the neighbour.

    Returns:
        Of the size of the frame, with edges that are as soft as one pixel of ``MAX_SIDE_PX``; all 0
        where nothing of the mask is left, or the frame is the first of a shot.
    """
    height, width = image.shape[:2]
    if motion.cut or not mask.any():
        return np.zeros((height, width), np.uint8)
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    inside, known = _warped(small, motion)
    reduced = cv2.resize(to_8_bits(image)[..., :3], size, interpolation=cv2.INTER_AREA)
    found = _with_outline(inside, known, np.ascontiguousarray(reduced))
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _warped(mask: Mask, motion: Motion) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The mask at the place that the motion gives it, and where that is reliable."""
    size = mask.shape[1], mask.shape[0]
    values = torch.from_numpy(mask).float()[None, None]
    if motion.flow is not None:
        values = warp(values, resize_flow(motion.flow.float().cpu(), size), "bilinear")
    known = np.ones(mask.shape, bool)
    if motion.reliable is not None:
        reliable = motion.reliable[0, 0].float().cpu().numpy()
        known = cv2.resize(reliable, size, interpolation=cv2.INTER_LINEAR) > 0.5
    return values[0, 0].numpy() > 127, known


def _with_outline(
    inside: NDArray[np.bool_], known: NDArray[np.bool_], image: NDArray[np.uint8]
) -> Mask:
    """The mask with its outline found anew in the image.

    Args:
        inside: (H, W), the mask by the motion.
        known: (H, W), False where the motion is not reliable: near to the mask it may be either.
        image: (H, W, 3).
    """
    # What is not reliable was mostly behind the object before: its colours decide.
    inside = inside & known
    side = max(inside.shape)
    band = _disc(max(1, round(BAND * side)))
    whole = inside.astype(np.uint8)
    outer, inner = cv2.dilate(whole, band), cv2.erode(whole, band)
    near = cv2.dilate(outer, band)
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[(inner > 0) & known] = cv2.GC_FGD
    labels[(outer == 0) & (known | (near == 0))] = cv2.GC_BGD
    rows, columns = np.nonzero(near)
    enough = inside.mean() >= MIN_AREA and (labels == cv2.GC_FGD).any()
    if enough and (labels == cv2.GC_BGD).any():
        margin = round(MARGIN * side)
        box = (
            slice(max(0, rows.min() - margin), rows.max() + margin + 1),
            slice(max(0, columns.min() - margin), columns.max() + margin + 1),
        )
        part = np.ascontiguousarray(labels[box])
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)  # GrabCut's first clusters are random
        cv2.grabCut(
            np.ascontiguousarray(image[box]),
            part,
            (0, 0, 0, 0),  # no rectangle, but a mask
            *models,
            GRABCUT_ITERATIONS,
            cv2.GC_INIT_WITH_MASK,
        )
        labels[box] = part
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    smooth = cv2.medianBlur(found, SMOOTHING_PX)
    closed = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, _disc(SMOOTHING_PX // 2))
    return closed.astype(np.uint8)


def _disc(radius_px: int) -> NDArray[np.uint8]:
    side = 2 * radius_px + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)
