"""The control page: an HTTP server for browsers, players and scripts.

It needs the optional dependencies ``vidstyle[web]``.
"""

from ...web import REMEDY  # noqa: F401 (raises DeviceError where they are missing)
