"""The command ``vidstyle join``."""

import argparse
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    parser.usage = "vidstyle join SEGMENTS [SEGMENTS ...] -o OUTPUT --source CLIP [options]"
    add = parser.add_argument
    add(
        "names",
        nargs="+",
        type=Path,
        metavar="SEGMENTS",
        help="files that `vidstyle render --frames` wrote, in any order",
    )
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUTPUT",
        help="file to write, of the kind that the segments were made for",
    )
    add(
        "--source",
        required=True,
        metavar="CLIP",
        help="the clip that was stylised, for its audio, subtitles and metadata",
    )
    add("-an", dest="sound", action="store_false", help="do not copy the audio")
    add("-y", dest="overwrite", action="store_true", help="replace an existing output")


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Join ranges of frames that were stylised apart."""
    from ..range_jobs import join_ranges

    join_ranges(args.names, args.output, args.source, args.sound, args.overwrite)
