"""HTTPS of the pages of ``vidstyle live`` and ``vidstyle studio``: flags and certificate."""

import argparse
import ssl
from collections.abc import Callable
from pathlib import Path

from ..user_folders import data_folder

OWN_HINT = "vidstyle: the browser warns of the certificate, which vidstyle made: continue there"
"""What a user of ``--https`` is told."""


def add_https_flags(add: Callable[..., object]) -> None:
    """Add ``--https``, ``--certificate`` and ``--key``."""
    add(
        "--https",
        action="store_true",
        help="serve the page by HTTPS, with a certificate that is made for this machine: browsers "
        "give other machines' pages no camera without it",
    )
    add("--certificate", type=Path, metavar="FILE", help="serve it by HTTPS, with this certificate")
    add("--key", type=Path, metavar="FILE", help="key of the certificate")


def check_https_flags(args: argparse.Namespace) -> None:
    """Check flags that depend on each other.

    Raises:
        ValueError: half a certificate, or two of them.
    """
    if (args.certificate is None) != (args.key is None):
        raise ValueError("a certificate has a key: give both --certificate and --key")
    if args.https and args.certificate:
        raise ValueError(
            "--https makes a certificate: go without --certificate, or without --https"
        )


def load_certificate(args: argparse.Namespace) -> ssl.SSLContext | None:
    """The certificate that the flags name or ask for; None: HTTP.

    Raises:
        InputError, OutputError, DeviceError: see ``given_certificate`` and ``own_certificate``.
    """
    from ..web.certificate import given_certificate, own_certificate

    if args.https:
        return own_certificate(data_folder())
    return given_certificate(args.certificate, args.key) if args.certificate else None
