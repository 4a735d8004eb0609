"""Bodies of the studio's requests: JSON, and files that are streamed to disk."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..io.files import is_full_disk
from ..web.uploads import GONE, read_body
from .edits import MAX_SECONDS

JSON_BYTES, JSON_SECONDS = 1 << 16, 10
"""Largest size in bytes of a JSON body, and time limit in seconds for receiving it."""

MAX_CLIP_BYTES = 16 << 30
"""Largest size in bytes of an uploaded clip."""

RESERVED_BYTES = 1 << 30
"""Bytes of the disk that an upload leaves free."""

WRITE_BYTES = 1 << 20
"""Bytes that are written at once."""

STALL_SECONDS = 60.0
"""An upload ends when nothing arrives for so many seconds."""


async def read_json(request: Request) -> dict[str, Any]:
    """The object in the body of a request.

    Raises:
        HTTPException: there is none.
    """
    data = await read_body(request, JSON_BYTES, JSON_SECONDS)
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON: send an object") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is not a JSON object: send an object")
    return found


def seconds_in(body: dict[str, Any], name: str) -> float | None:
    """A time of a JSON body in seconds; None where there is none.

    Raises:
        HTTPException: it is no time.
    """
    value = body.get(name)
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < MAX_SECONDS:  # NaN fails this comparison
        raise HTTPException(400, f"{name} is no time: give seconds from the start of the clip")
    return float(value)


async def write_body(request: Request, path: Path) -> None:
    """Write the body of a request to a file, in parts: it is never in memory as a whole.

    Raises:
        HTTPException: it is too large for the disk or the limit, empty, or does not arrive.
    """
    limit = min(MAX_CLIP_BYTES, _free_bytes(path.parent))
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        _refuse(limit)
    written = 0
    try:
        with path.open("wb") as file:
            async for block in _blocks(request):
                written += len(block)
                if written > limit:
                    _refuse(limit)
                await asyncio.to_thread(file.write, block)
    except OSError as error:
        raise disk_error(error) from None
    if not written:
        raise HTTPException(400, "the file is empty: choose another")


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of ``WRITE_BYTES``.

    Raises:
        HTTPException: it does not arrive.
    """
    parts, gathered = aiter(request.stream()), bytearray()
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                gathered += await anext(parts)
        except StopAsyncIteration:
            break
        except TimeoutError:
            message = f"nothing arrived for {STALL_SECONDS:g} s: upload the file again"
            raise HTTPException(408, message) from None
        except ClientDisconnect:
            raise HTTPException(400, GONE) from None
        if len(gathered) >= WRITE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _free_bytes(folder: Path) -> int:
    return max(0, shutil.disk_usage(folder).free - RESERVED_BYTES)


def _refuse(limit: int) -> NoReturn:
    if limit < MAX_CLIP_BYTES:
        message = f"the disk has room for {limit / 1e9:.1f} GB: free some space"
        raise HTTPException(507, message)
    message = f"the file has more than {MAX_CLIP_BYTES >> 30} GiB: split the clip"
    raise HTTPException(413, message)


def disk_error(error: OSError) -> HTTPException:
    """The answer to a request whose data cannot be written."""
    if is_full_disk(error):
        return HTTPException(507, "no space is left on the disk: free some, then try again")
    reason = error.strerror or type(error).__name__
    return HTTPException(500, f"the data cannot be written ({reason}): check the studio's folder")
