"""Temporal denoising of the content: an exponential average where only sensor noise changes."""

from torch import Tensor

from ..ops.tensors import box_mean

PATCH_PX = 9
"""Side in px of the windows in which a change is compared with noise: one more than a power of
two."""

MIN_NOISE, MAX_NOISE = 0.5 / 255, 6 / 255
"""Range of the estimated standard deviation of sensor noise: rounding, and a webcam in a dark
room."""

DENOISE_MIN_GAIN = 0.1
"""Weight of the present frame where nothing but noise changed: an average over some 20 frames."""

NOISE_RANK_DIVISOR = 5
"""The calmest fifth of the windows is taken for noise: that part of a frame hardly ever
changes otherwise."""

NO_GAIN_RATIO, FULL_GAIN_RATIO = 1.5, 4.0
"""Ratios of a window's energy to that of noise below which it counts as noise, and above which as
motion."""


def denoise(previous: Tensor, frame: Tensor) -> Tensor:
    """A frame without its sensor noise.

    The mean change of a window (light) is taken over at once. The rest of a change is taken over in
    proportion to its energy relative to noise, so that motion does not trail.

    Args:
        previous: (1, 3, H, W) in [0, 1], the previous denoised frame, warped by optical flow.
        frame: (1, 3, H, W), the present frame.
    """
    change = frame - previous
    # A single box filter inverts some frequencies, which would grow from frame to frame.
    broad = box_mean(box_mean(change, PATCH_PX), PATCH_PX)
    fine = change - broad
    energy = box_mean(fine.square().mean(1, keepdim=True), PATCH_PX)
    # Windows overlap, and a GPU sorts slowly: every fourth row and column suffices.
    windows = energy[..., :: PATCH_PX // 2, :: PATCH_PX // 2].flatten()
    rank = 1 + windows.numel() // NOISE_RANK_DIVISOR
    noise = windows.kthvalue(rank).values.clamp(MIN_NOISE**2, MAX_NOISE**2)
    gain = (energy / noise - NO_GAIN_RATIO) / (FULL_GAIN_RATIO - NO_GAIN_RATIO)
    return (previous + broad + gain.clamp(DENOISE_MIN_GAIN, 1) * fine).clamp(0, 1)
