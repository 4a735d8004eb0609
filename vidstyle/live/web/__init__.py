"""The control page: an HTTP server for browsers, players and scripts.

It needs the optional dependencies ``vidstyle[web]``.
"""

from ...errors import DeviceError

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    reason = "the control page needs Starlette and uvicorn"
    raise DeviceError(f"{reason}: pip install 'vidstyle[web]'") from None
