"""The command ``vidstyle obs``."""

import argparse
from contextlib import closing

from .usage import usage_errors


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Connect the picture to OBS."""
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
            print(f"the scene that is on in OBS has the source vidstyle now ({kind})")
        else:
            for line in check_setup(obs, args.page):
                print(line)
