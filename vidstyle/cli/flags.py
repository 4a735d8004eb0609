"""What the command line takes: flags of the painting are generated from ``Settings``."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import __version__
from ..settings import FLOWS, PRESETS, RENAMED_PRESETS, RENAMED_SETTINGS, Settings, TrainConfig

LIVE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"steps": "as many as there is time for, 8 at most", "initial_steps": "6"}
)
"""What ``vidstyle live`` does where these are not given, whatever the preset says."""

Command = Callable[[argparse.Namespace, argparse.ArgumentParser], None]


def parser_of(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The whole command line. ``run`` maps the names of the commands to what they do."""
    parser = argparse.ArgumentParser(
        "vidstyle", description="Turn video into moving paintings.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"vidstyle {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    volume = common.add_mutually_exclusive_group()
    volume.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show the stages and the shapes of their tensors",
    )
    volume.add_argument("-q", "--quiet", action="store_true", help="show errors only")

    def command(name: str, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=help, description=help, parents=[common], allow_abbrev=False
        )
        sub.set_defaults(command=run[name])
        return sub

    _render_flags(command("render", "paint a clip or a picture"))
    _live_flags(command("live", "paint what a camera sees, as it happens"))
    _train_flags(
        command("train-features", "train a feature network from a folder or tar of pictures")
    )
    _bench_flags(
        command(
            "bench",
            "measure how quick, how steady and how faithful the painting is on this machine",
        )
    )
    _obs_flags(
        command(
            "obs",
            "bring the painting into OBS: install its scripts, connect its source, check them",
        )
    )
    command("info", "show versions, devices, cameras, codecs and weights")
    return parser


def _render_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "input",
        metavar="INPUT",
        help="clip, picture, folder of them, numbered pictures (frame_%%05d.png), URL, or - for standard input",
    )
    add(
        "names",
        nargs="*",
        metavar="STYLE",
        help="picture(s) to paint like, or names of bundled ones such as strokes; several blend",
    )
    add(
        "--style",
        dest="styles",
        nargs="+",
        metavar="STYLE",
        help="the same; all other names are then inputs, OUTPUT a folder, made if need be",
    )
    add(
        "-o",
        dest="output",
        required=True,
        metavar="OUTPUT",
        help="file to write, its kind chosen by the ending (mp4 mov mkv webm gif webp png jpg); out_%%05d.png; or - for a pipe",
    )
    add(
        "--style-weights",
        type=_numbers,
        metavar="W,W",
        help="shares of several styles (default: equal)",
    )
    add(
        "--preset",
        action=_Preset,
        help="where the settings start from (default: standard for clips, still for pictures)",
    )
    _settings_flags(parser)
    add(
        "-ss",
        dest="start",
        type=_time,
        metavar="TIME",
        help="start at this time, in seconds or [HH:]MM:SS",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("-t", dest="duration", type=_time, metavar="TIME", help="paint this much")
    end.add_argument(
        "-to", dest="stop", type=_time, metavar="TIME", help="stop at this time of the clip"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "-y", dest="overwrite", action="store_true", help="replace an existing output"
    )
    existing.add_argument(
        "-n",
        dest="never",
        action="store_true",
        help="never replace an existing output, and do not ask",
    )
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="pass over inputs whose output exists; go on with the others",
    )
    add(
        "--resume",
        action="store_true",
        help="go on where an unfinished run of the same command ended",
    )
    add("-an", dest="sound", action="store_false", help="leave the sound out")
    add(
        "-c:v",
        dest="codec",
        metavar="NAME",
        help="h264, hevc, av1, vp9, prores, ffv1, hardware, or FFmpeg's name of an encoder",
    )
    add(
        "-crf",
        type=int,
        metavar="N",
        help="quality of the video encoder, lower is better (default: 17 for H.264)",
    )
    add(
        "-f",
        dest="pipe",
        default="matroska",
        metavar="NAME",
        help="what goes to standard output: matroska, nut, yuv4mpegpipe",
    )
    add(
        "-r",
        dest="rate",
        type=_rate,
        metavar="N",
        help="frames per second of numbered pictures, such as 30000/1001 (default: 25)",
    )
    add(
        "--hdr",
        choices=("keep", "sdr"),
        default="keep",
        help="write HDR clips as HDR again, or in standard range",
    )
    add(
        "--preview",
        type=_time,
        metavar="TIME",
        help="write only the frame at this time (OUTPUT, or NAME.preview.png beside it), and estimate the rest",
    )
    add(
        "--trace",
        type=Path,
        metavar="FILE",
        help="write the losses of all iterations as .json, or as a .png plot",
    )
    _features_flags(parser)


def _live_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="STYLE",
        help="picture(s) to paint like, switched by keys (default: the bundled ones)",
    )
    add(
        "--camera",
        default="0",
        metavar="NAME",
        help="number, name, path or address of a camera, @FILE with an address in it, or a clip (default: 0)",
    )
    add("--loop", action="store_true", help="play a clip over and over")
    add("--camera-size", type=_sizes, metavar="WxH", help="size to ask the camera for")
    add(
        "--obs",
        action="store_true",
        help="share the picture with OBS's source, and serve the control page for its panel",
    )
    add(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="be a webcam for other programs: a device such as /dev/video10 (default: the first there is)",
    )
    add(
        "--virtual-camera-size",
        type=_sizes,
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
        help="its colours: 601 for calls (default), 709 for OBS",
    )
    add(
        "--web",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve a page that shows and steers it (default: 127.0.0.1:8765, this machine only)",
    )
    add(
        "--allow-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="answer to this host name too, for a proxy, a tunnel or a home network; the page then "
        "needs its token everywhere (may be given more than once)",
    )
    add(
        "--fps",
        type=float,
        default=30.0,
        metavar="N",
        help="frames per second to reach (default: 30)",
    )
    add(
        "--fade",
        dest="fade_seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds in which a style turns into the next",
    )
    add(
        "--no-window",
        dest="window",
        action="store_false",
        help="open no window; something else must take the picture",
    )
    add("-t", dest="duration", type=_time, metavar="TIME", help="end after this time")
    add(
        "-o",
        dest="outputs",
        action="append",
        default=[],
        metavar="WHERE",
        help="record into this file, or stream to this address: rtmp://, rtsp://, udp://, tcp://; @FILE reads the address from a "
        "file, so that no list of processes shows its key (may be given more than once)",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing recording")
    add(
        "--preset",
        action=_Preset,
        default="draft",
        help="where the settings start from (default: draft)",
    )
    _settings_flags(parser, PRESETS["draft"], LIVE_DEFAULTS)
    _features_flags(parser)


def _features_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--features",
        default="bundled",
        metavar="NAME",
        help="bundled, vgg19, or a file made by train-features",
    )
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="torchvision's VGG-19 state dict, where it cannot be downloaded",
    )
    add(
        "--flow-weights",
        type=Path,
        metavar="FILE",
        help="torchvision's raft_large state dict, where it cannot be downloaded",
    )
    _device_flag(parser)


def _device_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda:N or mps (default: auto)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads to use (default: one for each core this process may use)",
    )


def _settings_flags(
    parser: argparse.ArgumentParser,
    usual: Settings | None = None,
    instead: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the flags of the painting.

    Args:
        usual: whose values the help shows as defaults.
        instead: by the names of settings, what the help says in place of such a value.
    """
    usual = usual or Settings()
    old_names = {new: old for old, new in RENAMED_SETTINGS.items()}
    for setting in fields(Settings):
        flag, text = "--" + setting.name.replace("_", "-"), setting.metadata["help"]
        value = getattr(usual, setting.name)
        if isinstance(setting.default, bool):
            parser.add_argument(
                flag, action="store_const", const=True, help=text + " (default: on)" * value
            )
        elif isinstance(setting.default, tuple):
            parser.add_argument(flag, type=_names, metavar="LAYER,LAYER", help=text)
        elif "flag" in setting.metadata:
            parser.add_argument(
                flag, action="store_const", const=setting.metadata["flag"], help=text
            )
        elif "choices" in setting.metadata:
            parser.add_argument(flag, choices=setting.metadata["choices"], help=text)
        else:
            kind = float if isinstance(setting.default, float) else int
            shown = instead.get(setting.name, "" if value is None else f"{value:g}")
            default = f" (default: {shown})" if shown else ""
            parser.add_argument(
                flag, type=kind, metavar="X" if kind is float else "N", help=text + default
            )
        if setting.name in old_names:
            old_flag = "--" + old_names[setting.name].replace("_", "-")
            parser.add_argument(
                old_flag,
                dest=setting.name,
                action=_RenamedFlag,
                new_flag=flag,
                help=argparse.SUPPRESS,
                nargs=0 if isinstance(setting.default, bool) else None,
                type=float if isinstance(setting.default, float) else int,
            )


class _Preset(argparse.Action):
    """The name of a preset. An old name is replaced by the new one: ``renamed`` lists the warning."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.metavar = "{" + ",".join(PRESETS) + "}"
        self.choices = (*PRESETS, *RENAMED_PRESETS)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set the preset."""
        new = RENAMED_PRESETS.get(values, values)
        if new != values:
            _note_renamed(namespace, f"the preset {values} is now called {new}")
        setattr(namespace, self.dest, new)


def _note_renamed(namespace: argparse.Namespace, warning: str) -> None:
    """Add to the warnings about old names, which are logged before the command runs."""
    namespace.renamed = [*getattr(namespace, "renamed", []), warning]


class _RenamedFlag(argparse.Action):
    """The old name of a flag, hidden from the help: ``renamed`` lists what to warn of."""

    def __init__(self, *args: Any, new_flag: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self._new_flag = new_flag

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set the value under the new name."""
        _note_renamed(namespace, f"{option_string} is now called {self._new_flag}")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


def _bench_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--style",
        dest="styles",
        nargs="+",
        metavar="STYLE",
        help="picture(s) to paint like (default: one drawn for it)",
    )
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON, rewritten after each")
    add(
        "-y",
        dest="overwrite",
        action="store_true",
        help="replace existing files of figures and pictures",
    )
    add(
        "--frames", type=int, default=16, metavar="N", help="frames per clip (default: %(default)s)"
    )
    _features_flags(parser)
    add = parser.add_argument_group("speed").add_argument
    add("--quick", action="store_true", help="one size: an answer within two minutes on two cores")
    add(
        "--baseline",
        action="store_true",
        help="compare with textbook code: L-BFGS per frame, and a naive warm start",
    )
    add(
        "--memory",
        action="store_true",
        help="paint 2,000 small frames and see whether memory grows",
    )
    add(
        "--sizes",
        type=_sizes,
        metavar="WxH,WxH",
        help="sizes in px (default: 320x180,640x360,1280x720)",
    )
    add("--presets", type=_names, metavar="NAME,NAME", help="(default: draft,standard)")
    add("--engines", type=_names, metavar="NAME,NAME", help="(default: auto)")
    add("--precisions", type=_names, metavar="NAME,NAME", help="(default: fp32,auto)")
    add = parser.add_argument_group("steadiness").add_argument
    add(
        "--temporal",
        action="store_true",
        help="measure steadiness over time instead: flicker, objective gap, lag, drift",
    )
    add(
        "--clip",
        type=Path,
        metavar="FILE",
        help="measure on this clip instead of generated ones of known motion",
    )
    add("--drift-frames", type=int, metavar="N", help="frames of the still clip (default: 600)")
    add("--size", type=int, metavar="N", help="width of the clips in px (default: 320)")
    add(
        "--picture",
        type=Path,
        metavar="FILE",
        help="write frames, paintings and flicker maps side by side",
    )
    add("--flow", choices=FLOWS, help="how motion is computed (default: dis)")


TEMPORAL_FLAGS = ("clip", "drift_frames", "size", "picture", "flow", "flow_weights")
SPEED_FLAGS = ("quick", "baseline", "memory", "sizes", "presets", "engines", "precisions")


def _train_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder or tar file of pictures")
    add(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="FILE",
        help="safetensors file to write",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing file")
    add(
        "--steps",
        type=int,
        default=TrainConfig.steps,
        metavar="N",
        help="training steps (default: %(default)s)",
    )
    add(
        "--batch",
        type=int,
        default=TrainConfig.batch,
        metavar="N",
        help="crops per step (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=TrainConfig.seed,
        metavar="N",
        help="seed (default: %(default)s)",
    )
    _device_flag(parser)


def _obs_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "what",
        choices=("install", "connect", "check"),
        help="scripts into OBS's folder; the source into its scene; all of it",
    )
    add(
        "--address",
        default="127.0.0.1:4455",
        metavar="HOST:PORT",
        help="of OBS's websocket (default: 127.0.0.1:4455)",
    )
    add("--password", metavar="WORD", help="its password (default: as OBS's settings here say)")
    add(
        "--page",
        default="127.0.0.1:8765",
        metavar="ADDRESS",
        help="HOST:PORT of vidstyle's control page, or its whole address with the token (default: 127.0.0.1:8765)",
    )
    add(
        "--media",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="connect a Media Source, also where the script's source is there; with an address, such as udp://0.0.0.0:9000, one "
        "that waits there for a stream (on the other machine: `vidstyle live -o udp://THIS-MACHINE:9000`)",
    )


def _time(text: str) -> Fraction:
    """Seconds, or [HH:]MM:SS, exact."""
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: use seconds, or [HH:]MM:SS")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def _rate(text: str) -> Fraction:
    """Frames per second: 25, 29.97 or 30000/1001."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate: use 25, 29.97 or 30000/1001"
        ) from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give numbers with commas between, such as 2,1"
        ) from None


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [re.fullmatch(r"(\d+)x(\d+)", size) for size in text.split(",")]
    if not all(pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: give sizes such as 320x180,640x360")
    return tuple((int(pair[1]), int(pair[2])) for pair in pairs if pair)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
