"""What the servers of pages share: addresses, access control, connections, uploads.

It needs the optional dependencies ``vidstyle[web]``.
"""

from ..errors import DeviceError

REMEDY = "pip install 'vidstyle[web]'"

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    raise DeviceError(f"the page needs Starlette and uvicorn: {REMEDY}") from None
