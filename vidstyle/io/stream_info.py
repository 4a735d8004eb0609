"""What is known of a clip before its first frame: size, times, depth, and what its code values mean as colours."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

RGB, UNSPECIFIED, BT709, BT601, BT2020 = 0, 2, 1, 6, 9
"""Matrix coefficients, H.273 table 4. The primaries and transfers of the same numbers belong to the same standards."""

LIMITED, FULL = 1, 2
PQ, HLG = 16, 18
"""Transfers of HDR, H.273 table 3: SMPTE ST 2084, and hybrid log-gamma."""

HD_LINES = 720


@dataclass(frozen=True)
class ColorInfo:
    """How YUV code values mean colours, as code points of H.273; ``range`` is 1 (limited) or 2 (full)."""

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True)
class HDRMetadata:
    """How bright an HDR clip is, for its player (SMPTE ST 2086, CTA-861.3).

    Args:
        peak_nits: of the display it was mastered on, in cd/m2.
        mastering: that display, as x265 writes it: ``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``; empty where not said.
        content: ``MaxCLL,MaxFALL`` in cd/m2; empty where not said.
    """

    peak_nits: float = 1000.0
    mastering: str = ""
    content: str = ""


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a source before its first frame is asked for.

    Args:
        size: (width, height) in px, as stored (not turned by ``rotation``).
        rate: frames per second, exact; None where frames have no fixed rate, or for a still.
        time_base: unit of the frames' times, in seconds.
        frames: how many there are, estimated; None where unknown.
        start: where the part of the source starts, in seconds; times of frames count from it.
        stop: where it ends.
        bit_depth: bits per component. Frames of more than 8 come as uint16.
        alpha: whether frames carry alpha.
        color: of the source, guessed where untagged: BT.709 from 720 lines on, else BT.601; limited range.
        light: of an HDR source whose frames come with their highlights compressed (see ``hdr``); None for all others.
        rotation: degrees counter-clockwise by which a player turns the picture.
        sample_aspect_ratio: width of a pixel over its height.
        path: the file or address in which a sink finds sound to copy; None where there is none.
        incomplete: whether the file at ``path`` is complete only when the last frame was read.
        live: whether frames come in their own time: a late reader gets the newest, and none is held back.
    """

    size: tuple[int, int]
    rate: Fraction | None = None
    time_base: Fraction = Fraction(1, 90000)
    frames: int | None = None
    start: Fraction = Fraction(0)
    stop: Fraction | None = None
    bit_depth: int = 8
    alpha: bool = False
    color: ColorInfo = ColorInfo()
    light: HDRMetadata | None = None
    rotation: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    path: Path | str | None = None
    incomplete: bool = False
    live: bool = False
