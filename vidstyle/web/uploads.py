"""Bodies of requests: read within limits, and checked before they are decoded."""

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..errors import VidstyleError
from ..io.images import decode_image

UPLOAD_BYTES = 20 << 20
"""Largest size in bytes of an uploaded image."""

UPLOAD_SECONDS = 60
"""Time limit in seconds for receiving an uploaded image."""

UPLOAD_PX = 1 << 25
"""Largest number of pixels of an uploaded image; a JPEG may have four times as many.

Decoding and analysing such an image takes 230 MB.
"""

GONE = "the connection was closed before the data arrived"


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Read the body of a request.

    Raises:
        HTTPException: the body is longer than ``limit`` bytes, or does not arrive in time.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                data += part
                if len(data) > limit:
                    message = f"the data exceeds the limit of {limit >> 10} KiB"
                    raise HTTPException(413, message)
    except TimeoutError:
        raise HTTPException(408, f"the data did not arrive within {seconds} s") from None
    except ClientDisconnect:
        raise HTTPException(400, GONE) from None
    return bytes(data)


async def decode_upload(data: bytes, name: str, warn: Callable[..., None]) -> NDArray[np.uint8]:
    """Decode an uploaded image on a thread: (H, W, 3) uint8 RGB.

    Args:
        data: the bytes of the file.
        name: for warnings and errors.
        warn: is called with what is unusual about it, as ``logging.Logger.warning`` is.

    Raises:
        HTTPException: it is no image, or has too many pixels.
    """
    try:
        image = await asyncio.to_thread(decode_image, data, name, UPLOAD_PX, True, warn)
    except VidstyleError as error:
        raise HTTPException(415, str(error)) from None
    if image is None:
        message = "the file is not a valid image: use PNG, JPEG, WebP, BMP or TIFF"
        raise HTTPException(415, message)
    return image
