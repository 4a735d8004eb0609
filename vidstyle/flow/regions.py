"""Flat regions of a frame, whose motion their outlines decide by vote.

Flow in a region without texture is arbitrary. Edges of the frame separate regions (connected
components), and each edge pixel votes for the motion of the regions beside it.
"""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import CHANNEL_MEAN, Map, Mask, Pixels

EDGE_WINDOW = np.ones((3, 3), np.uint8)
"""Window in which the contrast of an edge is measured: edges are to stay thin."""

EDGE_MIN_CONTRAST_LEVELS = 8
"""Contrast that makes an edge; edges separate regions."""

REGION_VOTE_WINDOW = np.ones((7, 7), np.uint8)
"""An edge votes for the motion of regions within 3 px: edges are a few px wide."""

CLOSING_WINDOW = np.ones((5, 5), np.uint8)
"""Gaps narrower than this inside a moving region move with the region."""

LARGE_REGION_FRACTION = 0.01
"""Area, as a fraction of the frame, from which on a region counts as large. Parts of a moving
object are smaller, or have an outline that moves."""

BORDERS = np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]


class FlatRegions:
    """The flat regions of a frame, and the votes of their outlines.

    The border of the frame votes for rest: a wall behind a person stays. The outline of a hole in a
    large region has no vote on that region: it is the outline of an object in front.

    Args:
        frame: (H, W, 3) uint8.
    """

    def __init__(self, frame: Pixels) -> None:
        contrast = cv2.morphologyEx(cv2.blur(frame, (3, 3)), cv2.MORPH_GRADIENT, EDGE_WINDOW)
        edges = cv2.transform(contrast.astype(np.float32), CHANNEL_MEAN) > EDGE_MIN_CONTRAST_LEVELS
        flat = (~edges).view(np.uint8)
        self._count, self._labels, self._statistics, _ = cv2.connectedComponentsWithStats(
            flat, connectivity=4
        )
        for border in BORDERS:
            edges[border] = True
        self._edges: Mask = edges

    @cached_property
    def _neighbors(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """The highest and the lowest label near each edge pixel: the regions on either side."""
        labels = self._labels
        highest = cv2.dilate(labels.astype(np.float32), REGION_VOTE_WINDOW)[self._edges]
        marked = np.where(labels, labels, self._count).astype(np.float32)
        lowest = cv2.erode(marked, REGION_VOTE_WINDOW)[self._edges]
        return highest.astype(int), lowest.astype(int)

    @cached_property
    def _large(self) -> NDArray[np.bool_]:
        """For each label, and the one that marks edges, whether its region is large."""
        areas = np.append(self._statistics[:, cv2.CC_STAT_AREA], 0)
        large: NDArray[np.bool_] = areas > LARGE_REGION_FRACTION * self._labels.size
        large[0] = False
        return large

    @cached_property
    def _holes(self) -> list[tuple[int, Mask]]:
        """For each large region, which of the edge pixels next to it lie in a hole of it."""
        highest, lowest = self._neighbors
        holes = []
        for label in np.flatnonzero(self._large).tolist():
            region = (self._labels == label).view(np.uint8)
            outer, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            filled = np.zeros_like(region)
            cv2.drawContours(filled, outer, -1, 1, cv2.FILLED)
            for border in BORDERS:
                filled[border] = 0
            inside = (filled > 0)[self._edges] & ((highest == label) | (lowest == label))
            holes.append((label, inside))
        return holes

    def _sums(self, votes: Map) -> NDArray[np.float64]:
        """The sum of the votes for each label."""
        highest, lowest = self._neighbors
        for border in BORDERS:
            votes[border] = -1
        cast = votes[self._edges]
        other = np.where(lowest != highest, cast, 0)
        sums = np.zeros(self._count + 1)
        for labels, values in ((highest, cast), (lowest, other)):
            sums += np.bincount(labels, values, self._count + 1)
        for label, inside in self._holes:
            sums[label] -= cast[inside].sum()
        sums[[0, self._count]] = 0
        return sums

    def add_moving(self, moves: Mask, votes: Map, still_camera: bool) -> Mask:
        """Add the regions that move to a mask of moving pixels.

        Without the vote, the outlines of passing hills would slide over the stylised hills.

        Args:
            moves: pixels that move.
            votes: 1 for motion, -1 for rest, 0 for none; changed at the border.
            still_camera: large regions at rest contain no moving pixels. With a moving camera,
                regions at different depths move differently.
        """
        if not moves.any():
            return moves
        sums, (highest, lowest) = self._sums(votes), self._neighbors
        moving = (sums > 0)[self._labels]
        moving[self._edges] = (sums[highest] > 0) & (sums[lowest] > 0)
        if still_camera:
            # Inside a large region there is no texture that could show motion, only noise.
            moves = moves & ~self._large_at_rest(sums)
        moving |= moves
        closed = cv2.morphologyEx(moving.view(np.uint8), cv2.MORPH_CLOSE, CLOSING_WINDOW)
        return closed.view(np.bool_)

    def large_at_rest(self, votes: Map) -> Mask:
        """True in large regions most of whose outline votes for rest.

        Args:
            votes: as in ``add_moving``.
        """
        return self._large_at_rest(self._sums(votes))

    def _large_at_rest(self, sums: NDArray[np.float64]) -> Mask:
        at_rest: Mask = ((sums < 0) & self._large)[self._labels]
        return at_rest
