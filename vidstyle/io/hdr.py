"""High dynamic range: transfer functions, and an invertible tone curve for stylisation.

A style image has display white at its maximum, an HDR clip up to 10,000 cd/m2 (nits). So HDR clips
are stylised with compressed highlights, which are expanded again when the result is written.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .frame import Image
from .stream_info import HLG, PQ

REFERENCE_WHITE_NITS = 203.0
"""HDR reference white (ITU-R BT.2408)."""

DISPLAY_GAMMA = 2.4
"""Gamma of a reference display of standard dynamic range (ITU-R BT.1886)."""

CODE_VALUES = 65536

Floats = NDArray[np.float64]

BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""Conversion of linear light, ITU-R BT.2087."""

M1, M2, C1, C2, C3 = (
    2610 / 16384,
    2523 / 4096 * 128,
    3424 / 4096,
    2413 / 4096 * 32,
    2392 / 4096 * 32,
)


def pq_to_nits(code: Floats) -> Floats:
    """SMPTE ST 2084 EOTF: [0, 1] -> [0, 10000] nits."""
    power = np.power(code, 1 / M2)
    return 10000 * np.power(np.maximum(power - C1, 0) / (C2 - C3 * power), 1 / M1)


def nits_to_pq(nits: Floats) -> Floats:
    """The inverse of ``pq_to_nits``."""
    power = np.power(np.clip(nits, 0, 10000) / 10000, M1)
    return np.power((C1 + C2 * power) / (1 + C3 * power), M2)


def hlg_to_scene(code: Floats) -> Floats:
    """Inverse OETF of hybrid log-gamma (ITU-R BT.2100 table 5): [0, 1] -> scene light, [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def compress(nits: Floats, peak_nits: float) -> Floats:
    """Tone curve of Reinhard et al. 2002 (equation 4) with a white point, then gamma: [0, peak] ->
    [0, 1]."""
    light, white = (
        np.minimum(nits, peak_nits) / REFERENCE_WHITE_NITS,
        peak_nits / REFERENCE_WHITE_NITS,
    )
    return np.power(light * (1 + light / white**2) / (1 + light), 1 / DISPLAY_GAMMA)


def expand(value: Floats, peak_nits: float) -> Floats:
    """The inverse of ``compress``: the positive root of a quadratic equation."""
    shown, white = np.power(value, DISPLAY_GAMMA), peak_nits / REFERENCE_WHITE_NITS
    half = (1 - shown) * white**2 / 2
    return REFERENCE_WHITE_NITS * (np.sqrt(half**2 + shown * white**2) - half)


def hdr_to_display(image: Image, peak_nits: float) -> Image:
    """PQ code values, (H, W, 3 or 4) of full range, with compressed highlights. Alpha is kept."""
    return _lookup(image, _display_table(peak_nits))


def display_to_hdr(image: Image, peak_nits: float) -> Image:
    """The inverse of ``hdr_to_display`` up to the peak."""
    return _lookup(image, _code_table(peak_nits))


def to_sdr(image: Image, transfer: int, peak_nits: float) -> Image:
    """HDR code values of BT.2020, (H, W, 3 or 4), as BT.709 of standard dynamic range. Alpha is
    kept."""
    light = _light_table(transfer)[image[..., :3]]
    if transfer == HLG:  # the OOTF depends on luminance (BT.2100 table 5, 1000 nits)
        luminance = light @ np.array([0.2627, 0.678, 0.0593], np.float32)
        light *= 1000 * np.power(np.maximum(luminance, 1e-6), 0.2)[..., None]
    light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    shown = np.rint(compress(light, peak_nits) * (CODE_VALUES - 1)).astype(np.uint16)
    return np.concatenate([shown, image[..., 3:]], -1)


def _lookup(image: Image, table: NDArray[np.uint16]) -> Image:
    mapped = table[image]
    mapped[..., 3:] = image[..., 3:]
    return mapped


@lru_cache(4)
def _light_table(transfer: int) -> NDArray[np.float32]:
    code = np.linspace(0, 1, CODE_VALUES)
    return (pq_to_nits(code) if transfer == PQ else hlg_to_scene(code)).astype(np.float32)


@lru_cache(4)
def _display_table(peak_nits: float) -> NDArray[np.uint16]:
    code = np.linspace(0, 1, CODE_VALUES)
    return np.rint(compress(pq_to_nits(code), peak_nits) * (CODE_VALUES - 1)).astype(np.uint16)


@lru_cache(4)
def _code_table(peak_nits: float) -> NDArray[np.uint16]:
    value = np.linspace(0, 1, CODE_VALUES)
    return np.rint(nits_to_pq(expand(value, peak_nits)) * (CODE_VALUES - 1)).astype(np.uint16)
