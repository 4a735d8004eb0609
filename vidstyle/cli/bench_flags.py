"""The flags of ``vidstyle bench``."""

import argparse
from pathlib import Path

from ..settings import FLOWS
from . import values
from .shared_flags import add_model_flags

TEMPORAL_FLAGS = (
    "clip",
    "regions",
    "sintel",
    "drift_frames",
    "size",
    "picture",
    "flow",
    "flow_weights",
)
"""Flags that are for the measurement of temporal consistency only."""

SPEED_FLAGS = ("quick", "baseline", "memory", "sizes", "presets", "engines", "precisions")
"""Flags that are for the measurement of speed only."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of the command."""
    add = parser.add_argument
    add(
        "-s",
        "--style",
        dest="styles",
        nargs="+",
        metavar="STYLE",
        help="style image(s) (default: a generated one)",
    )
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON after each of them")
    add("-y", dest="overwrite", action="store_true", help="replace existing figures and images")
    add(
        "--frames", type=int, default=16, metavar="N", help="frames per clip (default: %(default)s)"
    )
    _add_speed(parser)
    _add_temporal(parser)
    add_model_flags(parser)


def _add_speed(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("speed").add_argument
    add("--quick", action="store_true", help="one size only: under two minutes on two cores")
    add(
        "--baseline",
        action="store_true",
        help="compare with textbook code: L-BFGS for each frame, and a naive warm start",
    )
    add(
        "--memory",
        action="store_true",
        help="stylise 2,000 small frames and measure whether memory grows",
    )
    add(
        "--sizes",
        type=values.sizes,
        metavar="WxH,WxH",
        help="sizes in px (default: 320x180,640x360,1280x720)",
    )
    add(
        "--presets",
        type=values.names,
        metavar="NAME,NAME",
        help="presets to measure (default: draft,standard)",
    )
    add(
        "--engines",
        type=values.names,
        metavar="NAME,NAME",
        help="engines to measure (default: auto)",
    )
    add(
        "--precisions",
        type=values.names,
        metavar="NAME,NAME",
        help="precisions to measure (default: fp32,auto)",
    )


def _add_temporal(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("temporal consistency").add_argument
    add(
        "--temporal",
        action="store_true",
        help="measure temporal consistency instead of speed: flicker, objective gap, lag, drift",
    )
    add(
        "--clip",
        type=Path,
        metavar="FILE",
        help="measure on this clip instead of generated clips of known motion",
    )
    add(
        "--regions",
        action="store_true",
        help="measure only what comes into view and what moves, on generated clips",
    )
    add(
        "--sintel",
        type=Path,
        metavar="FOLDER",
        help="measure the temporal error on MPI Sintel's training folder",
    )
    add("--drift-frames", type=int, metavar="N", help="frames of the still clip (default: 600)")
    add("--size", type=int, metavar="N", help="width of the clips in px (default: 320)")
    add(
        "--picture",
        type=Path,
        metavar="FILE",
        help="write an image with frames, stylised frames and flicker maps",
    )
    add("--flow", choices=FLOWS, help="optical flow method (default: match)")
