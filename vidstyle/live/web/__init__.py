"""The control page: shows the painting to browsers and players, and takes commands. Needs the extra ``vidstyle[web]``."""

from ...errors import DeviceError

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError:
    raise DeviceError("the control page needs Starlette and uvicorn: pip install 'vidstyle[web]'") from None
