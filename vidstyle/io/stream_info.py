"""Properties of a clip: size, timestamps, bit depth, colour tags and HDR metadata."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .files import without_secrets

RGB, UNSPECIFIED, BT709, BT601, BT2020 = 0, 2, 1, 6, 9
"""Matrix coefficients, ITU-T H.273 table 4. Primaries and transfers use the same numbers."""

LIMITED, FULL = 1, 2
PQ, HLG = 16, 18
"""HDR transfer characteristics, ITU-T H.273 table 3: SMPTE ST 2084 and hybrid log-gamma."""

HD_HEIGHT_PX = 720


@dataclass(frozen=True)
class ColorInfo:
    """Colour tags as code points of ITU-T H.273; ``range`` is 1 (limited) or 2 (full)."""

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True)
class HDRMetadata:
    """Static HDR metadata (SMPTE ST 2086, CTA-861.3).

    Args:
        peak_nits: peak luminance of the mastering display in cd/m2.
        mastering: that display in x265's form, ``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``; empty if
            unknown.
        content: ``MaxCLL,MaxFALL`` in cd/m2; empty if unknown.
    """

    peak_nits: float = 1000.0
    mastering: str = ""
    content: str = ""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a source, known before its first frame.

    Args:
        size: (width, height) in px as stored, without ``rotation``.
        rate: frames per second, exact; None for a variable rate or a still image.
        time_base: unit of timestamps in seconds.
        frames: estimated number of frames; None if unknown.
        start: start of the part in seconds; timestamps of frames are relative to it.
        stop: end of the part in seconds.
        file_start: start of the file's timestamps in seconds, which a part begins at or after.
        lead: time in seconds from there to the first frame of the file: sound may begin earlier.
        bit_depth: bits per component. Frames of more than 8 bits are uint16.
        alpha: whether frames have alpha.
        color: colour tags; by default BT.709 from 720 lines on, else BT.601, limited range.
        hdr_metadata: static metadata of an HDR source whose highlights are compressed, see ``hdr``;
            None for all other sources.
        rotation: degrees counter-clockwise by which players rotate the frames.
        sample_aspect_ratio: width of a pixel over its height.
        path: file or address with the side streams; None where there is none.
        incomplete: whether that file is complete only after the last frame was read.
        live: whether the source has its own pace: a late reader gets the newest frame.
        name: for messages; empty: that of ``path``.
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
    hdr_metadata: HDRMetadata | None = None
    rotation: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    path: Path | str | None = None
    incomplete: bool = False
    live: bool = False
    file_start: Fraction = Fraction(0)
    lead: Fraction = Fraction(0)
    name: str = ""

    @property
    def offset(self) -> Fraction:
        """Time in seconds from the start of the file's timestamps to the start of the part."""
        return self.start - self.file_start

    @property
    def label(self) -> str:
        """Name for messages: an address without its password."""
        return without_secrets(self.name or str(self.path or "the source"))
