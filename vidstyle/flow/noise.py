"""Temporal noise between two frames: how much there is, and what warp errors it makes likely."""

from typing import NamedTuple

import cv2
import numpy as np

from .fields import CHANNEL_MEAN, Map, Pixels, box_filter

NOISE_WINDOW_PX = 9
"""Window over which the difference of two frames is averaged to measure noise."""

NOISE_STRIDE_PX = 4
"""Distance in px of the windows that are looked at."""

CALM_FRACTION = 0.1
"""The noise is that of the calmest windows: this fraction of a frame neither moves nor changes."""

MIN_TEXTURE_LEVELS = 0.05
"""Contrast of windows that show noise: the bars of a wide film have none, whatever its noise."""

MIN_NOISE_LEVELS = 2.0
"""Noise below which frames are taken as they are, in mean absolute code values."""

MAX_CODEC_NOISE_LEVELS = 5.0
"""Largest noise of a codec. It is smooth, so that a single frame does not show it: larger
differences are noise only as far as the frame has grain."""

MAX_SMOOTHING_PX = 1.6
"""Largest standard deviation of the smoothing: more would hide motion boundaries."""

SMOOTHING_PX_PER_LEVEL = 0.35
"""Standard deviation of the smoothing per level of noise."""


MARGIN_PER_CONTRAST = 0.25
"""Warp error, as a fraction of the contrast of a patch, that still shows the same content."""

OTHER_TEXTURE_PER_CONTRAST = 0.5
"""Texture error, as a fraction of the contrast of a patch, of another texture. That of two
independent textures is above 1."""

MAX_FAR_MARGIN_LEVELS = 4
"""Largest ``Tolerance.far_margin``."""

LAPLACIAN_DIFFERENCE = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32) * (2**0.5 / 6)
"""Filter whose output for noise is as large as the difference of two noisy frames."""


class Tolerance(NamedTuple):
    """Warp errors that noise makes likely, in code values of 0 to 255.

    Attributes:
        unchanged: warp error below which a patch of high contrast shows the same content.
        least_unchanged: the same of a flat patch.
        least_far_margin: ``far_margin`` of a flat patch.
        near_margin: margin for flow near the camera's, whose error can hardly differ from the
            camera's.
        outline_margin: how much better the camera's flow must explain a pixel at an outline.
    """

    unchanged: float = 6.0
    least_unchanged: float = 2.0
    least_far_margin: float = 0.3
    near_margin: float = 0.3
    outline_margin: float = 2.0

    @classmethod
    def of_noise(cls, noise: float) -> "Tolerance":
        """The tolerances for smoothed frames with this much noise left."""
        least = cls()
        return cls(
            max(least.unchanged, 1.8 * noise),
            max(least.least_unchanged, 1.2 * noise),
            max(least.least_far_margin, 1.2 * noise),
            max(least.near_margin, 0.35 * noise),
            max(least.outline_margin, noise),
        )

    def unchanged_below(self, contrast: Map) -> Map:
        """Warp error below which each patch shows the same content.

        A warp error near to the contrast of a patch explains nothing: in dark frames whole textures
        have a contrast of few code values.

        Args:
            contrast: ``fields.local_contrast`` of the frame.
        """
        return (MARGIN_PER_CONTRAST * contrast).clip(self.least_unchanged, self.unchanged)

    def texture_above(self, contrast: Map) -> Map:
        """``fields.texture_error`` above which each patch shows another texture.

        Args:
            contrast: see ``unchanged_below``.
        """
        return OTHER_TEXTURE_PER_CONTRAST * contrast + self.least_unchanged

    def far_margin(self, contrast: Map) -> Map:
        """Margin for flow far from the camera's: if it were right, the camera's would fail badly.

        Args:
            contrast: see ``unchanged_below``.
        """
        least = self.least_far_margin
        return (MARGIN_PER_CONTRAST * contrast).clip(least, max(least, MAX_FAR_MARGIN_LEVELS))


def noise_level(error: Map, contrast: Map) -> float:
    """Mean of a warp error, (H, W), in its calmest windows.

    Args:
        error: of a frame.
        contrast: ``fields.local_contrast`` of the frame.
    """
    windows = np.s_[::NOISE_STRIDE_PX, ::NOISE_STRIDE_PX]
    means = box_filter(error, NOISE_WINDOW_PX)[windows]
    textured = means[contrast[windows] > MIN_TEXTURE_LEVELS]
    return float(np.quantile(textured, CALM_FRACTION)) if textured.size else 0.0


def grain_level(frame: Pixels, contrast: Map) -> float:
    """Noise of a single frame in its calmest windows, on the scale of ``noise_level``.

    The difference of two Laplacians (Immerkaer 1996, Fast Noise Variance Estimation) of a clean
    frame is small in smooth areas, however fast they move.
    """
    grain = cv2.filter2D(frame, cv2.CV_32F, LAPLACIAN_DIFFERENCE, borderType=cv2.BORDER_REFLECT_101)
    magnitude: Map = cv2.transform(np.abs(grain), CHANNEL_MEAN)  # type: ignore[assignment]
    return noise_level(magnitude, contrast)


def smooth(frame: Pixels, noise: float) -> Pixels:
    """A frame smoothed as much as its noise needs."""
    sigma = min(MAX_SMOOTHING_PX, SMOOTHING_PX_PER_LEVEL * noise)
    return cv2.GaussianBlur(frame, (0, 0), sigma)  # type: ignore[return-value]
