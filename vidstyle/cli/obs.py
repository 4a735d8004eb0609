"""The command ``vidstyle obs``."""

import argparse
from contextlib import closing

from .usage import usage_errors


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    add = parser.add_argument
    add(
        "what",
        choices=("install", "connect", "check"),
        help="install the scripts into OBS's folder, connect the source to its current scene, or "
        "check both",
    )
    add(
        "--address",
        default="127.0.0.1:4455",
        metavar="HOST:PORT",
        help="address of OBS's websocket (default: 127.0.0.1:4455)",
    )
    add(
        "--password",
        metavar="WORD",
        help="password of the websocket (default: as in OBS's settings on this machine)",
    )
    add(
        "--page",
        default="127.0.0.1:8765",
        metavar="ADDRESS",
        help="HOST:PORT of vidstyle's control page, or its whole address with the token (default: "
        "127.0.0.1:8765)",
    )
    add(
        "--media",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="connect a Media Source, even if the script's source is installed; with an address, "
        "such as udp://0.0.0.0:9000, one that waits there for a stream (on the other machine: "
        "vidstyle live -o udp://THIS-MACHINE:9000)",
    )


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Install, connect or check vidstyle in OBS."""
    from ..live.obs import MEDIA_KIND, check_setup, connect_source, media_settings
    from ..live.obs_client import ObsClient
    from ..live.obs_install import install_scripts

    if args.what == "install":
        install_scripts()
        return
    with usage_errors(parser):
        media_settings(args.page, args.media or "")
    with closing(ObsClient(args.address, args.password)) as obs:
        if args.what == "connect":
            kind = connect_source(
                obs, args.page, None if args.media is None else MEDIA_KIND, args.media or ""
            )
            print(f"the current scene of OBS now has the source vidstyle ({kind})")
        else:
            for line in check_setup(obs, args.page):
                print(line)
