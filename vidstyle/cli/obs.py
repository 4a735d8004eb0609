"""The command ``vidstyle obs``."""

import argparse
from contextlib import closing

from .usage import usage_errors


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Connect the picture to OBS."""
    from ..live.obs import MEDIA_KIND, Remote, check, connect, install, media_settings

    if args.what == "install":
        install()
        return
    with usage_errors(parser):
        media_settings(args.page, args.media or "")
    with closing(Remote(args.address, args.password)) as obs:
        if args.what == "connect":
            kind = connect(
                obs, args.page, None if args.media is None else MEDIA_KIND, args.media or ""
            )
            print(f"the scene that is on in OBS has the source vidstyle now ({kind})")
        else:
            for line in check(obs, args.page):
                print(line)
