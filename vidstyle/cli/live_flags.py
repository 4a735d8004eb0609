"""The flags of ``vidstyle live``."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..live.defaults import live_settings
from . import values
from .https import add_https_flags
from .shared_flags import (
    add_allowed_hosts,
    add_basic_settings,
    add_expert_settings,
    add_faces,
    add_model_flags,
    add_preset_flag,
)

LIVE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"steps": "as many as there is time for, 8 at most"}
)
"""Defaults of ``vidstyle live`` that the presets do not set, as the help shows them."""

SHARED_OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "ndi": "through NDI to programs in the network",
        "spout": "through Spout to programs on this machine (Windows)",
        "syphon": "through Syphon to programs on this machine (macOS)",
    }
)
"""Flag -> where the frames go."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of the command: basic ones first, then groups for experts."""
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="STYLE",
        help="style image(s), or names of bundled styles, switched by keys (default: all bundled "
        "styles)",
    )
    add(
        "--camera",
        default="0",
        metavar="NAME",
        help="number, name, path or address of a camera, @FILE with an address in it, a clip, or "
        "browser for the camera of the phone or computer that opens the page of --web (default: 0)",
    )
    add("--loop", action="store_true", help="play a clip again and again")
    add("--camera-size", type=values.sizes, metavar="WxH", help="size to request of the camera")
    add(
        "--fps",
        type=float,
        default=30.0,
        metavar="N",
        help="target frame rate in frames per second (default: 30)",
    )
    add(
        "--fade",
        dest="fade_seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="duration of the crossfade between two styles in seconds (default: 1)",
    )
    add(
        "--timeline",
        metavar="FILE",
        help="set list: a TOML file of keyframes, as for `vidstyle render`, which change style, "
        "strength, style scale and temporal weight at their times from the first frame on",
    )
    _add_masks(parser)
    add("-t", dest="duration", type=values.time, metavar="TIME", help="end after this time")
    add_preset_flag(parser, "draft", "draft")
    add_basic_settings(parser, live_settings())
    _add_outputs(parser)
    _add_virtual_camera(parser)
    _add_shared_outputs(parser)
    _add_control(parser)
    add_expert_settings(parser, live_settings(), LIVE_DEFAULTS)
    add_model_flags(parser)


def _add_masks(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--mask",
        metavar="MASK",
        default="all",
        help="stylise all, person (people only), background (what is behind them), or where this "
        "image is white; key a changes it (default: all)",
    )
    add(
        "--region",
        dest="regions",
        action="append",
        default=[],
        metavar="MASK=STYLE[,NAME=VALUE]",
        help="another style for person, background, or where an image is white, as for `vidstyle "
        "render` (may be given more than once)",
    )
    add(
        "--person-model",
        type=Path,
        metavar="FILE",
        help="model that finds people, as for `vidstyle render`",
    )
    add_faces(add)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("outputs").add_argument
    add(
        "--no-window",
        dest="window",
        action="store_false",
        help="open no window; another output is then needed",
    )
    add(
        "-o",
        "--output",
        dest="outputs",
        action="append",
        default=[],
        metavar="WHERE",
        help="record into this file, or stream to this address: rtmp://, rtsp://, udp://, tcp://; "
        "@FILE reads the address from a file, so that no list of processes shows its key (may be "
        "given more than once)",
    )
    add(
        "--microphone",
        nargs="?",
        const="",
        metavar="NAME",
        help="record the sound of this microphone too: a part of its name, or its number (default: "
        "the system's microphone)",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing recording")
    add(
        "--obs",
        action="store_true",
        help="share the frames with vidstyle's source in OBS, and serve the control page for its "
        "panel",
    )


def _add_virtual_camera(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("virtual camera").add_argument
    add(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="act as a webcam for other programs: a device such as /dev/video10 (default: first "
        "virtual camera)",
    )
    add(
        "--virtual-camera-size",
        type=values.sizes,
        default=((1280, 720),),
        metavar="WxH",
        help="its size (default: 1280x720)",
    )
    add(
        "--virtual-camera-fps",
        type=float,
        default=30.0,
        metavar="N",
        help="its frames per second (default: 30)",
    )
    add(
        "--camera-matrix",
        choices=("601", "709"),
        default="601",
        help="its colour matrix: 601 for video calls (default), 709 for OBS",
    )


def _add_shared_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("frames for other programs").add_argument
    for name, where in SHARED_OUTPUTS.items():
        add(
            f"--{name}",
            nargs="?",
            const="",
            metavar="NAME",
            help=f"send the frames {where}, under this name (default: vidstyle)",
        )


def _add_control(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("control").add_argument
    add(
        "--osc",
        metavar="[HOST:]PORT",
        help="receive OSC messages at this UDP port, such as 9000 (default of the host: "
        "127.0.0.1, for this machine only)",
    )
    add(
        "--web",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve a web page that shows the frames and controls the settings (default: "
        "127.0.0.1:8765, for this machine only)",
    )
    add_allowed_hosts(add)
    add_https_flags(add)
