"""The command line: commands live in modules of their own, their flags in ``flags``."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

from .errors import VidstyleError
from .flags import SPEED_FLAGS, TEMPORAL_FLAGS, parser_of
from .settings import PRESETS, Recipe, Settings

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
    return parser_of({"render": _render, "live": _live, "train-features": _train, "bench": _bench, "obs": _obs, "info": _info})


@contextmanager
def _usage(parser: argparse.ArgumentParser) -> Iterator[None]:
    """A wrong value on the command line ends like a wrong flag: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        parser.exit(USAGE, f"vidstyle: {error}\n")


def _settings(args: argparse.Namespace, name: str) -> Settings:
    from .media.pictures import is_numbered, is_picture

    preset = PRESETS[args.preset or ("still" if is_picture(name) and not is_numbered(name) else "balanced")]
    given = {knob.name: getattr(args, knob.name) for knob in fields(Settings)}
    return replace(preset, **{name: value for name, value in given.items() if value is not None})


def _render(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .media.pictures import style_file
    from .painting.device import choose_device
    from .painting.style import Style
    from .painting.stylizer import Stylizer
    from .painting.weights import load_features, load_flow
    from .render import check, preview, render, where

    with _usage(parser):
        styles, names = (args.styles, [args.input, *args.names]) if args.styles else (args.names, [args.input])
        styles = [str(style_file(style)) for style in styles]
        if not styles:
            raise ValueError("no picture to paint like: name one after the input")
        settings = {name: _settings(args, name) for name in names}
        device = choose_device(args.device)
        flow = load_flow(settings[args.input].flow, device, args.flow_weights)
        jobs = [replace(_job(args, styles, name, str(device)), flow=flow) for name in names]
    outputs = [where(name, args.output, bool(args.styles), args.preview is not None) for name in names]
    twice = [output for number, output in enumerate(outputs) if output in outputs[:number]]
    if twice:
        raise VidstyleError(f"two inputs would both become {twice[0]}: paint them into different folders")
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
    from .media.writing import Encoding
    from .render import Job

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


def _live(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .live.camera import open_camera
    from .live.show import FIRST_STEPS, Closed, Show, meanwhile
    from .live.window import Window, check_display
    from .media.files import check_parts, check_writable, is_url

    with _usage(parser):
        files = [Path(output) for output in args.outputs if not is_url(output)]
        if len(files) > 1:
            raise ValueError("one recording at a time: give -o one file (and as many addresses as you like)")
        seconds = None if args.duration is None else float(args.duration)
        show = Show(args.fps, args.fade_seconds, seconds, *files)
        given = {knob.name: getattr(args, knob.name) for knob in fields(Settings)}
        base = replace(PRESETS[args.preset], first_steps=FIRST_STEPS)
        settings = replace(base, **{name: value for name, value in given.items() if value is not None})
    if args.window:
        check_display()
    for file in files:
        check_parts(check_writable(file, args.overwrite), args.overwrite)
    size = args.camera_size[0] if args.camera_size else None
    with ExitStack() as stack:
        screens = _screens(args, parser, stack)
        source = stack.enter_context(open_camera(args.camera, args.loop, size, args.fps))
        window = Window() if args.window else None
        if window is not None:
            stack.callback(window.close)
        try:
            with _usage(parser):
                stylizer, styles, flow = meanwhile(source, window, lambda: _painter(args, settings, source.format.size))
        except Closed:
            return
        from .live.session import Session, live

        live(Session(show, source, stylizer, styles, window, screens), source, stylizer, flow)


def _screens(args: argparse.Namespace, parser: argparse.ArgumentParser, stack: ExitStack) -> list[Any]:
    """All but the window that shows the pictures. What can be wrong is seen before anything else begins."""
    from .media.files import is_url

    screens: list[Any] = []
    if args.web is not None or args.obs:
        from .live.web import Page, listen

        with _usage(parser):
            page = Page(listen(args.web or ""))
        screens.append(page)
        print(f"vidstyle: control page at {page.url}", file=sys.stderr)
    if args.virtual_camera is not None:
        from .live.virtualcamera import VirtualCamera

        size, rate = args.virtual_camera_size[0], args.virtual_camera_fps
        with _usage(parser):
            screens.append(VirtualCamera(args.virtual_camera or None, size, rate, args.camera_matrix))
    for address in filter(is_url, args.outputs):
        from .live.broadcast import Broadcast

        screens.append(Broadcast(address, args.fps))
    if args.obs:
        from .live.sharedpicture import SharedPicture

        screens.append(SharedPicture())
    for screen in screens:
        stack.callback(screen.close)
    return screens


def _painter(args: argparse.Namespace, settings: Settings, frame_size: tuple[int, int]) -> Any:
    """(stylizer, [(name, style)], flow), all that takes long to load."""
    from .live.session import look_at
    from .media.pictures import bundled_styles, style_file
    from .painting.device import choose_device
    from .painting.style import Style
    from .painting.stylizer import Stylizer
    from .painting.weights import load_features, load_flow

    flow = load_flow(settings.flow, choose_device(args.device), args.flow_weights)
    features = load_features(args.features, args.device, args.weights)
    files = [style_file(name) for name in args.names] or list(bundled_styles().values())
    styles = [(Path(name).stem, Style.from_images([name], features)) for name in files]
    stylizer = Stylizer(features, styles[0][1], settings)
    look_at([style for _, style in styles], stylizer, frame_size)
    return stylizer, styles, flow


def _asked(output: str | Path) -> bool:
    """Ask about an existing output, as ffmpeg does, when there is someone to answer."""
    if not (Path(output).is_file() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    print(f"{output} exists. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _train(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .media.files import check_writable
    from .media.pictures import write_picture
    from .painting.device import choose_device
    from .painting.features import SMALL
    from .painting.training import Progress, held_out_trial, read_pictures, train
    from .painting.weights import painterly, read_network, write_network
    from .progress import ProgressDisplay

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
    from .bench.speed import QUICK, RANDOM_VGG19, Speed, drawn_picture, random_vgg19, speed
    from .painting.style import Style
    from .painting.weights import load_features

    with _usage(parser):
        chosen = {name: getattr(args, name) for name in ("sizes", "presets", "engines", "precisions") if getattr(args, name)}
        start = QUICK if args.quick else Speed()
        bench = replace(start, frames=args.frames, baseline=args.baseline, memory=args.memory, json=args.json, **chosen)
        random = args.features == RANDOM_VGG19
        features = random_vgg19(args.device) if random else load_features(args.features, args.device, args.weights)
    speed(bench, Style.from_images(args.styles or [drawn_picture()], features), args.features)


def _bench_steadiness(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .bench.steadiness import Steadiness, temporal
    from .painting.device import choose_device
    from .painting.style import Style
    from .painting.weights import load_features, load_flow

    with _usage(parser):
        if args.styles is None:
            raise ValueError("--temporal needs a picture to paint like: add --style STYLE")
        features = load_features(args.features, args.device, args.weights)
        flow = load_flow(args.flow or "dis", choose_device(args.device), args.flow_weights)
        sizes = {"size": args.size, "drift_frames": args.drift_frames}
        given = {name: value for name, value in sizes.items() if value is not None}
        bench = Steadiness(args.clip, frames=args.frames, json=args.json, picture=args.picture, **given)
    temporal(bench, Style.from_images(args.styles, features), flow)


def _obs(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .live.obs import MEDIA_KIND, Remote, check, connect, install, media_settings

    if args.what == "install":
        install()
        return
    with _usage(parser):
        media_settings(args.page, args.media or "")
    with closing(Remote(args.address, args.password)) as obs:
        if args.what == "connect":
            kind = connect(obs, args.page, None if args.media is None else MEDIA_KIND, args.media or "")
            print(f"the scene that is on in OBS has the source vidstyle now ({kind})")
        else:
            for line in check(obs, args.page):
                print(line)


def _info(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from .info import lines

    for line in lines():
        print(line)


if __name__ == "__main__":
    sys.exit(main())
