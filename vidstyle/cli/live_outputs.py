"""The outputs of ``vidstyle live`` besides its window, and OSC control."""

import argparse
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

from ..errors import DeviceError
from .https import OWN_HINT, load_certificate
from .usage import usage_errors

CAMERA_PACKAGES = "starlette", "uvicorn", "aiortc"
CAMERA_REMEDY = "pip install 'vidstyle[web,webrtc]'"
"""What the page with the camera of a browser needs, and how it is installed."""


def open_outputs(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    stack: ExitStack,
    browser: Any,
) -> list[Any]:
    """Open every output except the window; invalid arguments are reported before anything else."""
    from ..io.files import is_url

    outputs: list[Any] = []
    if args.web is not None or args.obs:
        outputs.append(_page(args, parser, browser))
    if args.virtual_camera is not None:
        from ..live.virtual_camera import VirtualCamera

        size, rate = args.virtual_camera_size[0], args.virtual_camera_fps
        with usage_errors(parser):
            outputs.append(
                VirtualCamera(args.virtual_camera or None, size, rate, args.camera_matrix)
            )
    for address in filter(is_url, args.outputs):
        from ..live.stream_output import StreamOutput

        outputs.append(StreamOutput(address, args.fps))
    if args.obs:
        from ..live.shared_memory import SharedMemoryOutput

        outputs.append(SharedMemoryOutput())
    outputs += _shared_outputs(args)
    if args.osc is not None:
        from ..live.osc import OscInput

        with usage_errors(parser):
            outputs.append(OscInput(args.osc))
    for output in outputs:
        stack.callback(output.close)
    return outputs


def _page(args: argparse.Namespace, parser: argparse.ArgumentParser, browser: Any) -> Any:
    """The control page, whose address is printed.

    Args:
        args: of the command line.
        parser: reports wrong arguments.
        browser: the ``BrowserCamera`` of the session; None: it has another source.
    """
    if browser is not None and not all(map(find_spec, CAMERA_PACKAGES)):
        raise DeviceError(f"the camera of a browser needs other packages: {CAMERA_REMEDY}")
    from ..live.web.server import Page
    from ..web.address import check_host_name, listen

    with usage_errors(parser):
        allowed = [check_host_name(name) for name in args.allowed_hosts]
        certificate = load_certificate(args)
        server = listen(args.web or "")
        page = Page(server, allowed, browser, certificate)
    print(f"vidstyle: control page at {page.url}", file=sys.stderr)
    if browser is not None:
        server.listen()  # whoever opens the page while PyTorch is loaded waits
        print(_way_to_page(page, args), file=sys.stderr)
    return page


def _way_to_page(page: Any, args: argparse.Namespace) -> str:
    """How a phone opens the page: a QR code, or the flags that it needs."""
    if not page.for_other_devices:
        return (
            "vidstyle: the page is for this machine only; for a phone: vidstyle studio --live "
            "--https --address 0.0.0.0:8443"
        )
    from ..web.qr import qr_text

    hint = "vidstyle: browsers give this page no camera: add --https"
    if args.https:
        hint = OWN_HINT
    elif args.certificate:
        hint = ""
    return qr_text(page.url) + hint


def _shared_outputs(args: argparse.Namespace) -> list[Any]:
    """The outputs that other programs list by a name."""
    outputs: list[Any] = []
    if args.ndi is not None:
        from ..live.ndi import NdiOutput

        outputs.append(NdiOutput(args.ndi, args.fps))
    if args.spout is not None:
        from ..live.spout import SpoutOutput

        outputs.append(SpoutOutput(args.spout, args.fps))
    if args.syphon is not None:
        from ..live.syphon import SyphonOutput

        outputs.append(SyphonOutput(args.syphon, args.fps))
    return outputs
