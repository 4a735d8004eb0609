"""The command ``vidstyle studio``, and ``vidstyle studio --live``.

``vidstyle studio --live`` is ``vidstyle live --camera browser --no-window --web ADDRESS``: the same
session, page and server, whose camera is the browser that opens the page. So all flags of
``vidstyle live`` may follow, except those that choose another camera.
"""

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ..runtime.interrupts import check, deferred
from ..user_folders import data_folder
from . import values
from .https import OWN_HINT, add_https_flags, check_https_flags, load_certificate
from .shared_flags import add_allowed_hosts
from .usage import usage_errors

ADDRESS = "127.0.0.1:8799"
"""Where the page is served; the control page of ``vidstyle live`` has another port."""

LIVE = "--live"

OTHER_CAMERAS = "--camera", "--loop", "--web"
"""Flags of ``vidstyle live`` that are not for ``vidstyle studio --live``."""

POLL_SECONDS = 0.2
"""Interval in seconds at which a signal is looked for."""


def default_folder() -> Path:
    """Where clips, styles and jobs are kept."""
    return data_folder() / "studio"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    add = parser.add_argument
    add(
        LIVE,
        action="store_true",
        help="stylise the camera of the browser that opens the page: short for `vidstyle live "
        "--camera browser --no-window --web HOST:PORT`, whose styles and flags may follow",
    )
    add(
        "--address",
        default=ADDRESS,
        metavar="HOST:PORT",
        help=f"where the page is served (default: {ADDRESS}, for this machine only); for other "
        "machines the page needs the token of its printed address",
    )
    add(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where clips, styles and renders are kept (default: ~/.local/share/vidstyle/studio)",
    )
    add(
        "--parallel",
        type=values.count,
        default=1,
        metavar="N",
        help="number of renders at once on each device (default: 1)",
    )
    add("--no-browser", action="store_true", help="do not open the page in a browser")
    add_allowed_hosts(add)
    add_https_flags(add)
    add(
        "--person-model",
        type=Path,
        metavar="FILE",
        help="model that finds people, as for `vidstyle render`",
    )
    add(
        "--device",
        default="auto",
        metavar="NAME[,NAME]",
        help="where clips are rendered: auto, cpu, cuda:N or mps; on each of several, such as "
        "cuda:0,cuda:1, renders run, and previews on the first (default: auto)",
    )


def as_live(arguments: Sequence[str], usage: argparse.ArgumentParser) -> list[str]:
    """The arguments of ``vidstyle studio --live`` as those of ``vidstyle live``.

    Args:
        arguments: after the word studio.
        usage: reports wrong arguments.
    """
    parser = argparse.ArgumentParser(usage.prog, add_help=False, allow_abbrev=False)
    parser.add_argument(LIVE, action="store_true")
    parser.add_argument("--no-browser", action="store_true")  # a live session opens none
    parser.add_argument("--address", default=ADDRESS)
    own, rest = parser.parse_known_args(arguments)
    for word in rest:
        if word.split("=")[0] in OTHER_CAMERAS:
            usage.error(f"{word}: studio {LIVE} has the camera of a browser, at its --address")
    live = ["live", "--camera", "browser", "--no-window", "--web", own.address]
    return [*live, *rest]


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Serve the page until a signal ends it."""
    from ..web.address import check_host_name, listen

    with usage_errors(parser):
        if args.parallel < 1:
            raise ValueError("--parallel must be 1 or more")
        check_https_flags(args)
        allowed = [check_host_name(name) for name in args.allowed_hosts]
        certificate = load_certificate(args)
        socket = listen(args.address, "--address")
    from ..studio.server import Studio, StudioOptions

    options = StudioOptions(args.parallel, allowed, args.person_model, certificate)
    folder = (args.folder or default_folder()).absolute()
    with deferred(), closing(socket):  # renders write what is finished
        with usage_errors(parser):
            studio = Studio(socket, folder, args.device, options)
        with closing(studio):
            studio.open()
            print(f"vidstyle: studio at {studio.url}", file=sys.stderr, flush=True)
            if args.https:
                print(OWN_HINT, file=sys.stderr, flush=True)
            if not args.no_browser and _has_display():
                webbrowser.open(studio.url)
            _wait()


def _wait() -> None:
    """Wait for a signal.

    Raises:
        KeyboardInterrupt: it came.
    """
    never = threading.Event()
    while True:
        check()
        never.wait(POLL_SECONDS)


def _has_display() -> bool:
    """Whether a browser would open in a window, and not in the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
