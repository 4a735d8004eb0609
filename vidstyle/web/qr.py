"""QR codes of addresses. This is the only module that imports segno."""

import io

from ..errors import DeviceError

try:
    import segno
except ImportError:
    raise DeviceError("QR codes need segno: pip install 'vidstyle[webrtc]'") from None

BORDER = 4
"""Modules of white around a code, as ISO/IEC 18004 demands."""


def qr_text(address: str) -> str:
    """The code of an address in lines of half blocks, for a terminal with light text."""
    text = io.StringIO()
    segno.make(address, error="l").terminal(text, border=BORDER // 2, compact=True)
    return text.getvalue()


def qr_svg(address: str) -> bytes:
    """The code of an address as an SVG image, black on white."""
    image = io.BytesIO()
    code = segno.make(address, error="m")
    code.save(image, kind="svg", border=BORDER, light="white", scale=4)
    return image.getvalue()
