"""The command ``vidstyle render``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import VidstyleError
from ..settings import PRESETS, Settings
from .usage import usage_errors, weights_files


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Stylize clips or pictures into files."""
    from ..media.outputs import check_apart
    from ..media.pictures import style_file
    from ..painting.device import choose_device
    from ..painting.style import Style
    from ..painting.stylizer import Stylizer
    from ..painting.weights import load_features, load_flow
    from ..render import check, preview, render, where

    with usage_errors(parser):
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
    check_apart([*outputs, *([args.trace] if args.trace else [])], [*names, *jobs[0].files])
    jobs = [
        replace(job, output=output, overwrite=args.overwrite or (not args.never and not args.resume and _asked(output)))
        for job, output in zip(jobs, outputs, strict=True)
    ]
    if args.preview is None:
        for job, given in zip(jobs, settings.values(), strict=True):
            check(job, given)
    with usage_errors(parser):
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
    from ..media.writing import Encoding
    from ..render import Job

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
        files=(*styles, *weights_files(args)),
    )


def _asked(output: str | Path) -> bool:
    """Ask about an existing output, as ffmpeg does, when there is someone to answer."""
    if not (Path(output).is_file() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    print(f"{output} exists. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _settings(args: argparse.Namespace, name: str) -> Settings:
    from ..media.pictures import is_numbered, is_still

    preset = PRESETS[args.preset or ("still" if is_still(name) and not is_numbered(name) else "balanced")]
    given = {knob.name: getattr(args, knob.name) for knob in fields(Settings)}
    return replace(preset, **{name: value for name, value in given.items() if value is not None})
