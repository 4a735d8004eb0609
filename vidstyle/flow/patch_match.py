"""Displacements of patches between two frames, wherever in the frame they went.

Coarse-to-fine PatchMatch (Hu et al. 2016) of dense descriptors. All pairs of coarse patches are
compared, and mutual nearest neighbours whose neighbours move alike become seeds. PatchMatch (Barnes
et al. 2009) propagates and refines them; matches on which both directions agree are sure.

The descriptors are those of SIFT flow (Liu et al. 2011) with the oriented gradients of DAISY (Tola
et al. 2010). DIS compares intensities, which light changes, and searches near to the flow of
coarser pyramid levels, where small things that move far are lost; descriptors have neither limit.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import Flow, Mask, Pixels, squared_magnitude

REACH = 0.2
"""Longest displacement across and down, relative to the width. Farther matches are mostly wrong."""

ORIENTATIONS, CELLS = 8, 4
"""Number of gradient directions of a histogram, and of histograms along each side of a patch."""

DIRECTIONS = np.array(
    [
        (math.cos(turn), math.sin(turn))
        for turn in np.arange(ORIENTATIONS) * math.tau / ORIENTATIONS
    ],
    np.float32,
)
"""Matrix for ``cv2.transform``: the derivative in each direction, of the gradient."""

LEAST_LENGTH = 1e-3
"""Is added to the length of a descriptor: it is 0 in an area of one colour."""

MAX_COMPONENT = 0.2
"""Largest component of a descriptor, so that one strong edge does not decide (Lowe 2004)."""

SEED_CELLS_PX = 3, 4
"""Sides of the histograms by which all pairs are compared."""

COMPARED_STRIDE_PX, SEED_STRIDE_PX = 2, 4
"""Distance of the patches of the other frame that seeds are compared with, and of the seeds."""

SEED_TOLERANCE_PX, SEED_NEIGHBOURS = 6.0, 10
"""A seed needs so many of its 24 neighbours whose displacements differ by no more than this."""

MIN_NEW_SEEDS, NEW_SEED_PX = 16, 4.0
"""Smallest number of seeds that move otherwise than the flow says, by more than this. With fewer,
the flow has lost nothing."""

MATCH_CELL_PX, MATCH_STRIDE_PX = 2, 2
"""Side of the histograms and distance of the patches of PatchMatch."""

MATCH_TOLERANCE_PX, MATCH_NEIGHBOURS = 2.0, 8
"""The same as for seeds, for the matches of PatchMatch."""

ITERATIONS, PROPAGATION_STEPS = 4, (1, 2, 4)
"""Iterations of PatchMatch, and the distances of propagation, in patches."""

SEARCH_RADIUS_PX, MIN_SEARCH_RADIUS_PX, SEARCHES = 4.0, 1.5, 3
"""Radius of the random search in the first iteration, half of it in each further one, its least
value, and attempts per iteration."""

MIN_REGION_MATCHES = 50
"""Smallest number of connected matches that move alike; smaller regions are mostly wrong."""

REGION_TOLERANCE_PX = 4.0
"""Largest difference of displacements of connected matches."""

Descriptors = NDArray[np.float32]
"""(rows, columns, ``ORIENTATIONS * CELLS**2``), each of length 1."""


def matches(
    frames: Sequence[Pixels], seeds: Sequence[Mask], areas: Sequence[Mask], flows: Sequence[Flow]
) -> list[tuple[Flow, Mask]] | None:
    """Displacements of the patches of both frames to the other one.

    Args:
        frames: both, (H, W, 3) uint8.
        seeds: of both, (H, W), the pixels that may be seeds.
        areas: of both, (H, W), the pixels that are matched.
        flows: of both, (H, W, 2), each from its frame to the other. It is kept outside the areas.

    Returns:
        For each frame, the displacements of patches ``MATCH_STRIDE_PX`` apart, (rows, columns, 2),
        and where they are sure; None: the flows have lost nothing.
    """
    starts: list[tuple[Flow, Flow]] = []
    for cell_px in SEED_CELLS_PX:
        start = _seeds(frames, seeds, flows, cell_px)
        if start is not None:
            starts.append(start)
        elif not starts:
            return None
    features = [descriptors(image, MATCH_CELL_PX) for image in frames]
    found = [
        _patch_match(
            (features[way], features[1 - way]),
            [pair[way] for pair in starts],
            flows[way],
            areas[way],
        )
        for way in (0, 1)
    ]
    return [(found[way], _sure_matches(found[way], found[1 - way], areas[way])) for way in (0, 1)]


def descriptors(image: Pixels, cell_px: int, stride_px: int = 1) -> Descriptors:
    """Descriptors of the patches around pixels: histograms of gradients in ``CELLS**2`` cells.

    Args:
        image: (H, W, 3).
        cell_px: side of a histogram.
        stride_px: distance of the patches; the first lies half of it from the corner.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), cell_px / 4)
    gradient = cv2.merge([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)])
    height, width = grey.shape
    reach = int(np.ceil(cell_px * (CELLS - 1) / 2))
    along = cv2.transform(gradient, DIRECTIONS)
    along = cv2.GaussianBlur(np.maximum(0, along), (0, 0), cell_px / 2)
    histograms = np.pad(along, ((reach, reach), (reach, reach), (0, 0)), "edge")
    first = stride_px // 2
    cells = [
        histograms[y + first : y + height : stride_px, x + first : x + width : stride_px]
        for y in range(0, CELLS * cell_px, cell_px)
        for x in range(0, CELLS * cell_px, cell_px)
    ]
    return _normalised(np.minimum(_normalised(np.concatenate(cells, 2)), MAX_COMPONENT))


def _normalised(features: Descriptors) -> Descriptors:
    """Descriptors of length 1."""
    length = np.sqrt(np.einsum("ijc,ijc->ij", features, features)) + np.float32(LEAST_LENGTH)
    result: Descriptors = features / length[..., None]
    return result


def _positions(rows: int, columns: int, stride_px: int) -> Flow:
    """Centre of each patch, (rows, columns, 2), (x, y) in px."""
    y, x = (stride_px * np.arange(count) + stride_px // 2 for count in (rows, columns))
    return np.dstack(np.meshgrid(x, y)).astype(np.float32)


def _on_grid(values: NDArray[Any], stride_px: int) -> NDArray[Any]:
    """The values at the centres of patches."""
    first = stride_px // 2
    return np.ascontiguousarray(values[first::stride_px, first::stride_px])


def _seeds(
    frames: Sequence[Pixels], areas: Sequence[Mask], flows: Sequence[Flow], cell_px: int
) -> tuple[Flow, Flow] | None:
    """Mutual nearest neighbours of both directions, each filling its frame.

    None: hardly any of them moves otherwise than the given flows say.
    """
    features = [descriptors(image, cell_px, COMPARED_STRIDE_PX) for image in frames]
    seeds = [_on_grid(area, COMPARED_STRIDE_PX)[::2, ::2] for area in areas]
    flow = _nearest_neighbours(features[0], features[1], seeds[0])
    reverse = _nearest_neighbours(features[1], features[0], seeds[1])
    rules = SEED_STRIDE_PX, SEED_TOLERANCE_PX, SEED_NEIGHBOURS
    pairs = (flow, reverse), (reverse, flow)
    sure = [_sure(way, back, *rules) for way, back in pairs]
    for way, known, mutual in zip((flow, reverse), flows, sure, strict=True):
        given = _on_grid(known, COMPARED_STRIDE_PX)[::2, ::2]
        new = mutual & (squared_magnitude(way - given) > NEW_SEED_PX**2)
        if np.count_nonzero(new) < MIN_NEW_SEEDS:
            return None
    return filled(flow, sure[0]), filled(reverse, sure[1])


def _nearest_neighbours(features: Descriptors, others: Descriptors, area: Mask) -> Flow:
    """Displacement of each second patch of an area to the most similar one of the other frame.

    All pairs within ``REACH`` are compared. Elsewhere the displacement is not a number.

    Args:
        features, others: of patches ``COMPARED_STRIDE_PX`` apart.
        area: (rows, columns), of each second patch.
    """
    rows, columns, channels = others.shape
    limit = max(1, round(REACH * columns))
    column = np.arange(columns)
    far = np.where(np.abs(column[:, None] - column) > limit, np.float32(-2), np.float32(0))
    flow = np.full((*area.shape, 2), np.nan, np.float32)
    for row in np.flatnonzero(area.any(1)):
        index = np.flatnonzero(area[row])
        y, x = 2 * row, 2 * index
        top, bottom = max(0, y - limit), min(rows, y + limit + 1)
        similarity = features[y, x] @ others[top:bottom].reshape(-1, channels).T
        similarity = similarity.reshape(len(x), bottom - top, columns) + far[x, None]
        nearest_y, nearest_x = np.divmod(similarity.reshape(len(x), -1).argmax(1), columns)
        flow[row, index] = COMPARED_STRIDE_PX * np.stack([nearest_x - x, nearest_y + top - y], 1)
    return flow


def _sure(flow: Flow, reverse: Flow, stride_px: int, tolerance_px: float, neighbours: int) -> Mask:
    """Matches that both directions agree on, and so many neighbours within 2 patches."""
    rows, columns = flow.shape[:2]
    target = np.rint((_positions(rows, columns, stride_px) + flow) / stride_px - 0.5)
    x, y = (np.nan_to_num(target[..., axis], nan=-1).astype(np.intp) for axis in (0, 1))
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    back = reverse[y.clip(0, rows - 1), x.clip(0, columns - 1)]
    mutual = inside & (squared_magnitude(flow + back) <= stride_px**2)
    flow_around, mutual_around = np.pad(flow, ((2, 2), (2, 2), (0, 0))), np.pad(mutual, 2)
    alike = np.zeros(mutual.shape, np.int32)
    for y0 in range(5):
        for x0 in range(5):
            window = slice(y0, y0 + rows), slice(x0, x0 + columns)
            near = squared_magnitude(flow_around[window] - flow) <= tolerance_px**2
            alike += mutual_around[window] & near
    sure: Mask = mutual & (alike > neighbours)  # each match is like itself
    return sure


def filled(flow: Flow, sure: Mask) -> Flow:
    """The displacement of the nearest sure match, for each patch."""
    _, labels = cv2.distanceTransformWithLabels(
        (~sure).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((labels.max() + 1, 2), np.float32)
    table[labels[sure]] = flow[sure]
    nearest: Flow = table[labels]
    return nearest


def _patch_match(
    features: tuple[Descriptors, Descriptors], starts: list[Flow], given: Flow, area: Mask
) -> Flow:
    """PatchMatch (Barnes et al. 2009): propagation, and a random search whose radius shrinks.

    Args:
        features: of each pixel of the frame, and of the other one.
        starts: displacements to begin with, dense, of any resolution.
        given: displacements outside the area, for each pixel.
        area: the pixels of the frame that are matched.

    Returns:
        (rows, columns, 2), of patches ``MATCH_STRIDE_PX`` apart.
    """
    height, width, channels = features[1].shape
    flow = _on_grid(given, MATCH_STRIDE_PX)
    rows, columns = flow.shape[:2]
    matched = _on_grid(area, MATCH_STRIDE_PX)
    patches = _on_grid(features[0], MATCH_STRIDE_PX)[matched]
    positions = _positions(rows, columns, MATCH_STRIDE_PX)[matched]
    table = features[1].reshape(-1, channels)
    most = np.full(len(patches), -np.inf, np.float32)

    def attempt(candidate: Flow) -> None:
        candidates = candidate[matched]
        x, y = np.rint(positions + candidates).astype(np.intp).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        index = y.clip(0, height - 1) * width + x.clip(0, width - 1)
        similarity = np.einsum("ic,ic->i", patches, table[index])
        better = inside & (similarity > most)
        most[better] = similarity[better]
        flow[matched] = np.where(better[:, None], candidates, flow[matched])

    for start in starts:
        attempt(cv2.resize(start, (columns, rows), interpolation=cv2.INTER_NEAREST))  # type: ignore[arg-type]
    random = np.random.default_rng(0)
    for iteration in range(ITERATIONS):
        for step in PROPAGATION_STEPS:
            for y, x in ((0, step), (2 * step, step), (step, 0), (step, 2 * step)):
                around = np.pad(flow, ((step, step), (step, step), (0, 0)), "edge")
                attempt(around[y : y + rows, x : x + columns])
        radius = max(SEARCH_RADIUS_PX / 2**iteration, MIN_SEARCH_RADIUS_PX)
        for _ in range(SEARCHES):
            attempt(flow + radius * random.uniform(-1, 1, flow.shape).astype(np.float32))
    return flow


def _sure_matches(flow: Flow, reverse: Flow, area: Mask) -> Mask:
    """Sure matches of the area in regions of ``MIN_REGION_MATCHES`` and more that move alike."""
    alike = _sure(flow, reverse, MATCH_STRIDE_PX, MATCH_TOLERANCE_PX, MATCH_NEIGHBOURS)
    for axis in (0, 1):
        step = squared_magnitude(np.diff(flow, axis=axis, append=flow.take([-1], axis)))
        alike &= step <= REGION_TOLERANCE_PX**2
    _, labels, figures, _ = cv2.connectedComponentsWithStats(alike.view(np.uint8), connectivity=4)
    large = figures[:, cv2.CC_STAT_AREA] >= MIN_REGION_MATCHES
    large[0] = False  # the background
    result: Mask = large[labels] & _on_grid(area, MATCH_STRIDE_PX)
    return result
