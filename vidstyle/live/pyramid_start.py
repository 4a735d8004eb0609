"""A cold start over several frames: coarse pyramid levels first, each shown as it is made.

A cold start in one frame would leave the viewer without a picture for seconds. At a coarse level a
step takes a fraction of the time, and broad strokes come first, as in ``stylizer.cold_start``.
"""

from ..stylizer.cold_start import MIN_LEVEL_STEPS, PYRAMID_RATIO

START_LEVELS, RESTYLE_LEVELS = 3, 1
"""Number of levels below the final size, at the start and after a change of style. At a coarser
level a face that viewers have seen already would be lost for a second."""

MIN_COARSE_PX = 96
"""Smallest long side of a level in px. Smaller steps take hardly less time."""

FINAL_LEVEL_STEPS = 60
"""Steps at the final size before the start is over. With 20, as at coarser levels, the objective
goes on falling for seconds, at one step per frame."""

COARSE_FRAME_STEPS, FINAL_FRAME_STEPS = 5, 6
"""Steps per frame at coarse levels and at the final size. The setup of a frame takes as long as one
or two steps; but with many steps what moves is stylised too rarely."""

MIN_FRAME_STEPS = 3
"""Steps per frame of a start on a slow machine."""


class PyramidStart:
    """Counts the steps of each level; the last level is the final size.

    Args:
        final_px: long side of the final size in px.
        coarse_levels: number of levels below it.
    """

    def __init__(self, final_px: int, coarse_levels: int) -> None:
        self._final_px = final_px
        self._begin_level(coarse_levels)
        self._skip_small_levels()

    @property
    def size_px(self) -> int | None:
        """Long side of the next frame in px; None: the start is over."""
        if self._levels_left < 0:
            return None
        return round(self._final_px * PYRAMID_RATIO**self._levels_left)

    @property
    def frame_steps(self) -> int:
        """Steps of the next frame."""
        return COARSE_FRAME_STEPS if self._levels_left > 0 else FINAL_FRAME_STEPS

    def advance(self, steps: int) -> None:
        """Count the steps of a frame."""
        self._steps_left -= steps
        if self._steps_left <= 0:
            self._begin_level(self._levels_left - 1)

    def limit(self, final_px: int) -> None:
        """Lower the final size, and the coarse ones with it."""
        self._final_px = min(self._final_px, final_px)
        self._skip_small_levels()

    def _skip_small_levels(self) -> None:
        while self._levels_left and (self.size_px or 0) < MIN_COARSE_PX:
            self._begin_level(self._levels_left - 1)

    def _begin_level(self, levels_left: int) -> None:
        self._levels_left = levels_left
        self._steps_left = MIN_LEVEL_STEPS if levels_left > 0 else FINAL_LEVEL_STEPS
