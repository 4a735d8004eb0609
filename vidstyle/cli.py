"""The command line. Flags of the painting are generated from ``Settings``; commands live in modules of their own."""

import argparse
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .errors import VidstyleError
from .settings import FLOWS, PRESETS, Recipe, Settings

DONE, WORLD, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 an error of the world, 2 wrong usage, 130 interrupted."""
    parser = build_parser()
    args = _parsed(parser, arguments)
    with _log_on_stderr(args), _one_interrupt():
        try:
            args.command(args, parser)
        except VidstyleError as error:
            print(f"vidstyle: {error}", file=sys.stderr)
            return WORLD
        except KeyboardInterrupt:
            print("vidstyle: interrupted", file=sys.stderr)
            return INTERRUPTED
        except ImportError as error:
            if "cannot open shared object" not in str(error):
                raise
            remedy = "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
            print(f"vidstyle: OpenCV lacks a library of the system ({error}); {remedy}", file=sys.stderr)
            return WORLD
        except BrokenPipeError:  # whoever read our output has gone
            sys.stdout = None
            return WORLD
        return DONE


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Names of inputs and styles may stand between flags, which argparse alone does not allow."""
    args, rest = parser.parse_known_args(arguments)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(args, "names")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.names += rest
    return args


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """A killed command ends like an interrupted one; while it finishes its file, further interrupts are ignored."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in signals}
    heard = [number for number in signals if before[number] != signal.SIG_IGN]  # nohup ignores SIGHUP, and so do we

    def interrupt(number: int, frame: object) -> NoReturn:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may listen for signals
        yield
        return
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heard:
            if signal.getsignal(number) is interrupt:  # after an interrupt stay deaf: a late one would spoil the exit code
                signal.signal(number, before[number])


@contextmanager
def _log_on_stderr(args: argparse.Namespace) -> Iterator[None]:
    level = logging.DEBUG if args.verbose else logging.ERROR if args.quiet else logging.INFO
    logger = logging.getLogger("vidstyle")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("vidstyle", description="Turn video into moving paintings.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vidstyle {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    volume = common.add_mutually_exclusive_group()
    volume.add_argument("-v", "--verbose", action="store_true", help="show the stages and the shapes of their tensors")
    volume.add_argument("-q", "--quiet", action="store_true", help="show errors only")

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False)
        sub.set_defaults(command=run)
        return sub

    _render_flags(command("render", _render, "paint a clip or a picture"))
    _train_flags(command("train-features", _train, "train a feature network from a folder or tar of pictures"))
    _bench_flags(command("bench", _bench, "measure how quick, how steady and how faithful the painting is on this machine"))
    command("info", _info, "show versions, devices, codecs and weights")
    return parser


def _render_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", metavar="INPUT", help="clip, picture, numbered pictures (frame_%%05d.png), URL, or - for standard input")
    add("names", nargs="*", metavar="STYLE", help="picture(s) to paint like; several blend")
    add("--style", dest="styles", nargs="+", metavar="STYLE", help="the same; all other names are then inputs, OUTPUT a folder")
    add(
        "-o",
        dest="output",
        required=True,
        metavar="OUTPUT",
        help="file to write, its kind chosen by the ending (mp4 mov mkv webm gif webp png jpg); out_%%05d.png; or - for a pipe",
    )
    add("--style-weights", type=_numbers, metavar="W,W", help="shares of several styles (default: equal)")
    add("--preset", choices=PRESETS, help="where the settings start from (default: balanced for clips, still for pictures)")
    _settings_flags(parser)
    add("-ss", dest="start", type=_time, metavar="TIME", help="start at this time, in seconds or [HH:]MM:SS")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("-t", dest="duration", type=_time, metavar="TIME", help="paint this much")
    end.add_argument("-to", dest="stop", type=_time, metavar="TIME", help="stop at this time of the clip")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("-y", dest="overwrite", action="store_true", help="replace an existing output")
    existing.add_argument("-n", dest="never", action="store_true", help="never replace an existing output, and do not ask")
    existing.add_argument("--resume", action="store_true", help="go on where an unfinished run of the same command ended")
    add("-an", dest="sound", action="store_false", help="leave the sound out")
    add("-c:v", dest="codec", metavar="NAME", help="h264, hevc, av1, vp9, prores, ffv1, hardware, or FFmpeg's name of an encoder")
    add("-crf", type=int, metavar="N", help="quality of the video encoder, lower is better (default: 18 for H.264)")
    add("-f", dest="pipe", default="matroska", metavar="NAME", help="what goes to standard output: matroska, nut, yuv4mpegpipe")
    add(
        "-r",
        dest="rate",
        type=_rate,
        metavar="N",
        help="frames per second of numbered pictures, such as 30000/1001 (default: 25)",
    )
    add("--hdr", choices=("keep", "sdr"), default="keep", help="write HDR clips as HDR again, or in standard range")
    add(
        "--preview",
        type=_time,
        metavar="TIME",
        help="write only the frame at this time (OUTPUT, or NAME.preview.png beside it), and estimate the rest",
    )
    add("--trace", type=Path, metavar="FILE", help="write the losses of all iterations as .json, or as a .png plot")
    _features_flags(parser)


def _features_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--features", default="bundled", metavar="NAME", help="bundled, vgg19, or a file made by train-features")
    add("--weights", type=Path, metavar="FILE", help="torchvision's VGG-19 state dict, where it cannot be downloaded")
    add("--flow-weights", type=Path, metavar="FILE", help="torchvision's raft_large state dict, where it cannot be downloaded")
    _device_flag(parser)


def _device_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda:N or mps (default: auto)")


def _settings_flags(parser: argparse.ArgumentParser) -> None:
    for knob in fields(Settings):
        flag, text = "--" + knob.name.replace("_", "-"), knob.metadata["help"]
        if isinstance(knob.default, bool):
            parser.add_argument(flag, action="store_const", const=True, help=text)
        elif isinstance(knob.default, tuple):
            parser.add_argument(flag, type=_names, metavar="LAYER,LAYER", help=text)
        elif "flag" in knob.metadata:
            parser.add_argument(flag, action="store_const", const=knob.metadata["flag"], help=text)
        elif "choices" in knob.metadata:
            parser.add_argument(flag, choices=knob.metadata["choices"], help=text)
        else:
            kind = float if isinstance(knob.default, float) else int
            default = "" if knob.default is None else f" (default: {knob.default:g})"
            parser.add_argument(flag, type=kind, metavar="X" if kind is float else "N", help=text + default)


def _bench_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--style", dest="styles", nargs="+", metavar="STYLE", help="picture(s) to paint like (default: one drawn for it)")
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON, rewritten after each")
    add("--frames", type=int, default=16, metavar="N", help="frames per clip (default: %(default)s)")
    _features_flags(parser)
    add = parser.add_argument_group("speed").add_argument
    add("--quick", action="store_true", help="one size: an answer within two minutes on two cores")
    add("--baseline", action="store_true", help="compare with textbook code: L-BFGS per frame, and a naive warm start")
    add("--memory", action="store_true", help="paint 2,000 small frames and see whether memory grows")
    add("--sizes", type=_sizes, metavar="WxH,WxH", help="sizes in px (default: 320x180,640x360,1280x720)")
    add("--presets", type=_names, metavar="NAME,NAME", help="(default: live,balanced)")
    add("--engines", type=_names, metavar="NAME,NAME", help="(default: auto)")
    add("--precisions", type=_names, metavar="NAME,NAME", help="(default: fp32,auto)")
    add = parser.add_argument_group("steadiness").add_argument
    add("--temporal", action="store_true", help="measure steadiness over time instead: flicker, objective gap, lag, drift")
    add("--clip", type=Path, metavar="FILE", help="measure on this clip instead of generated ones of known motion")
    add("--drift-frames", type=int, metavar="N", help="frames of the still clip (default: 600)")
    add("--size", type=int, metavar="N", help="width of the clips in px (default: 320)")
    add("--picture", type=Path, metavar="FILE", help="write frames, paintings and flicker maps side by side")
    add("--flow", choices=FLOWS, help="how motion is computed (default: dis)")


TEMPORAL_FLAGS = ("clip", "drift_frames", "size", "picture", "flow", "flow_weights")
SPEED_FLAGS = ("quick", "baseline", "memory", "sizes", "presets", "engines", "precisions")


def _train_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder or tar file of pictures")
    add("-o", dest="output", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    add("-y", dest="overwrite", action="store_true", help="replace an existing file")
    add("--steps", type=int, default=Recipe.steps, metavar="N", help="training steps (default: %(default)s)")
    add("--batch", type=int, default=Recipe.batch, metavar="N", help="crops per step (default: %(default)s)")
    add("--seed", type=int, default=Recipe.seed, metavar="N", help="seed (default: %(default)s)")
    _device_flag(parser)


@contextmanager
def _usage(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A wrong value on the command line ends like a wrong flag: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        parser.exit(USAGE, f"vidstyle: {error}\n")


def _settings(args: argparse.Namespace, name: str) -> Settings:
    from .pictures import is_picture
    from .source import is_numbered

    preset = PRESETS[args.preset or ("still" if is_picture(name) and not is_numbered(name) else "balanced")]
    given = {knob.name: getattr(args, knob.name) for knob in fields(Settings)}
    return replace(preset, **{name: value for name, value in given.items() if value is not None})


def _render(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .device import choose_device
    from .render import check, preview, render, where
    from .style import Style
    from .stylizer import Stylizer
    from .weights import load_features, load_flow

    with _usage(parser):
        styles, names = (args.styles, [args.input, *args.names]) if args.styles else (args.names, [args.input])
        if not styles:
            raise ValueError("no picture to paint like: name one after the input")
        settings = {name: _settings(args, name) for name in names}
        device = choose_device(args.device)
        flow = load_flow(settings[args.input].flow, device, args.flow_weights)
        jobs = [replace(_job(args, styles, name, str(device)), flow=flow) for name in names]
    outputs = [where(name, args.output, bool(args.styles), args.preview is not None) for name in names]
    jobs = [
        replace(job, output=output, overwrite=args.overwrite or (not args.never and not args.resume and _asked(output)))
        for job, output in zip(jobs, outputs, strict=True)
    ]
    if args.preview is None:
        for job, given in zip(jobs, settings.values(), strict=True):
            check(job, given)
    with _usage(parser):
        features = load_features(args.features, args.device, args.weights)
        style = Style.from_images(styles, features, args.style_weights)
        stylizers = [Stylizer(features, style, given) for given in settings.values()]
    failed = []
    for job, stylizer in zip(jobs, stylizers, strict=True):
        try:
            render(job, stylizer) if args.preview is None else preview(job, stylizer, args.preview)
        except VidstyleError as error:
            if len(jobs) == 1:
                raise
            print(f"vidstyle: {error}", file=sys.stderr)
            failed.append(str(job.input))
    if failed:
        raise VidstyleError(f"{len(failed)} of {len(jobs)} failed: {', '.join(failed)}; the others are painted")


def _job(args: argparse.Namespace, styles: Sequence[str], name: str, device: str) -> Any:
    """What the command line asks for; where it goes is found later.

    Raises:
        ValueError: what does not go together.
    """
    from .render import Job
    from .writing import Encoding

    stop = args.stop if args.duration is None else (args.start or 0) + args.duration
    if stop is not None and stop <= (args.start or 0):
        raise ValueError("the part of the clip asked for is empty: -t or -to must lie after -ss")
    if args.preview is not None and (args.start is not None or stop is not None or args.trace or args.resume):
        raise ValueError("--preview paints one frame and goes without -ss, -t, -to, --trace and --resume")
    return Job(
        name,
        args.output,
        start=args.start,
        stop=stop,
        rate=args.rate,
        sdr=args.hdr == "sdr",
        resume=args.resume,
        encoding=Encoding(args.codec, args.crf, args.sound, pipe=args.pipe),
        trace=args.trace,
        quiet=args.quiet,
        origin={
            "features": Path(args.features).name,
            "styles": [Path(style).name for style in styles],
            "style_weights": args.style_weights,
            "device": device,
        },
        files=(*styles, *(name for name in (args.features, args.weights, args.flow_weights) if name and Path(name).is_file())),
    )


def _asked(output: str | Path) -> bool:
    """Ask about an existing output, as ffmpeg does, when there is someone to answer."""
    if not (Path(output).is_file() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    print(f"{output} exists. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _train(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .device import choose_device
    from .features import SMALL
    from .files import check_writable
    from .pictures import write_picture
    from .progress import ProgressDisplay
    from .training import Progress, held_out_trial, read_pictures, train
    from .weights import painterly, read_network, write_network

    with _usage(parser):
        recipe = Recipe(steps=args.steps, batch=args.batch, seed=args.seed)
        device = choose_device(args.device)
    check_writable(args.output, args.overwrite)
    checkpoint = args.output.with_name(f"{args.output.name}.checkpoint")
    sheet = check_writable(args.output.with_name(f"{args.output.stem}.png"), args.overwrite)
    pictures = read_pictures(args.images, recipe.picture_px)
    if checkpoint.exists():
        print(f"going on from {checkpoint}", file=sys.stderr)
    with ProgressDisplay("step", recipe.steps, args.quiet) as display:

        def report(progress: Progress) -> None:
            display.show(progress.step, f"loss {progress.loss:.3f}, {progress.accuracy:.0%} of crops recognised")

        used, content, style = pictures[:-2], pictures[-2], pictures[-1]
        weights = train(used, recipe, device, report, checkpoint)
    write_network(args.output, weights, SMALL, f"{len(used)} pictures, {recipe}")
    trial = held_out_trial(painterly(read_network(args.output)).to(device), content, style)
    write_picture(sheet, trial.sheet)
    print(f"the last picture but one painted like the last, which were held out, is in {sheet}: {trial.painted}")
    print(f"to compare, its colours matched and nothing painted: {trial.control}")


def _bench(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    with _usage(parser):
        for name in SPEED_FLAGS if args.temporal else TEMPORAL_FLAGS:
            if getattr(args, name):
                goes = "without" if args.temporal else "with"
                raise ValueError(f"--{name.replace('_', '-')} goes {goes} --temporal")
        for name, value, least in (("frames", args.frames, 8), ("drift-frames", args.drift_frames, 2), ("size", args.size, 64)):
            if value is not None and value < least:
                raise ValueError(f"--{name} is {value}: it must be {least} or more")
    if args.temporal:
        _bench_steadiness(args, parser)
    else:
        _bench_speed(args, parser)


def _bench_speed(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .speed import QUICK, RANDOM_VGG19, Speed, drawn_picture, random_vgg19, speed
    from .style import Style
    from .weights import load_features

    with _usage(parser):
        chosen = {name: getattr(args, name) for name in ("sizes", "presets", "engines", "precisions") if getattr(args, name)}
        start = QUICK if args.quick else Speed()
        bench = replace(start, frames=args.frames, baseline=args.baseline, memory=args.memory, json=args.json, **chosen)
        random = args.features == RANDOM_VGG19
        features = random_vgg19(args.device) if random else load_features(args.features, args.device, args.weights)
    speed(bench, Style.from_images(args.styles or [drawn_picture()], features), args.features)


def _bench_steadiness(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .device import choose_device
    from .steadiness import Steadiness, temporal
    from .style import Style
    from .weights import load_features, load_flow

    with _usage(parser):
        if args.styles is None:
            raise ValueError("--temporal needs a picture to paint like: add --style STYLE")
        features = load_features(args.features, args.device, args.weights)
        flow = load_flow(args.flow or "dis", choose_device(args.device), args.flow_weights)
        sizes = {"size": args.size, "drift_frames": args.drift_frames}
        given = {name: value for name, value in sizes.items() if value is not None}
        bench = Steadiness(args.clip, frames=args.frames, json=args.json, picture=args.picture, **given)
    temporal(bench, Style.from_images(args.styles, features), flow)


def _info(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .info import lines

    for line in lines():
        print(line)


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
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: use 25, 29.97 or 30000/1001") from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give numbers with commas between, such as 2,1") from None


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [re.fullmatch(r"(\d+)x(\d+)", size) for size in text.split(",")]
    if not all(pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: give sizes such as 320x180,640x360")
    return tuple((int(pair[1]), int(pair[2])) for pair in pairs if pair)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
