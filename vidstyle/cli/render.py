"""The command ``vidstyle render``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import VidstyleError
from ..settings import PRESETS, Settings
from .usage import in_flags, usage_errors, weights_files

log = logging.getLogger(__name__)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Stylize clips or pictures into files."""
    from ..batch import goes_into_folder, inputs_of, paint_all
    from ..features.weights import load_features
    from ..flow.methods import load_flow
    from ..io.images import style_file
    from ..render import check, preview, render
    from ..runtime.device import choose_device
    from ..stylizer.style import Style
    from ..stylizer.stylizer import Stylizer

    with usage_errors(parser):
        styles, given = (
            (args.styles, [args.input, *args.names]) if args.styles else (args.names, [args.input])
        )
        styles = [str(style_file(style)) for style in styles]
        if not styles:
            raise ValueError("no picture to paint like: name one after the input")
        names = inputs_of(given)
        into_folder = goes_into_folder(given, args.output, bool(args.styles))
        if args.trace and len(names) > 1:
            raise ValueError("--trace goes with one input: paint the others without it")
        settings = {name: _settings(args, name) for name in names}
        device = choose_device(args.device)
        flow = load_flow(settings[names[0]].flow, device, args.flow_weights)
        jobs = [replace(_job(args, styles, name, str(device)), flow=flow) for name in names]
    jobs = _placed(args, jobs, into_folder)
    if not jobs:
        return
    if not into_folder and args.preview is None:
        check(jobs[0], settings[names[0]])
    with usage_errors(parser):
        features = load_features(args.features, args.device, args.weights)
        style = Style.from_images(styles, features, args.style_weights)
        for chosen in dict.fromkeys(settings.values()):
            Stylizer(
                features, style, chosen
            )  # layers that the features lack are found before anything is painted

    def paint(job: Any) -> None:
        stylizer = Stylizer(features, style, settings[job.input])
        render(job, stylizer) if args.preview is None else preview(job, stylizer, args.preview)

    if into_folder:
        paint_all(jobs, paint, args.quiet, len(names) - len(jobs), in_flags)
    else:
        paint(jobs[0])


def _placed(args: argparse.Namespace, jobs: Sequence[Any], into_folder: bool) -> list[Any]:
    """The jobs with their outputs, without those that --skip-existing leaves out.

    Raises:
        VidstyleError: two of them have one output, or an output is an input.
    """
    from ..io.files import part_folder
    from ..io.outputs import check_apart, exists
    from ..render import where

    placed: dict[str | Path, Any] = {}
    for job in jobs:
        output = where(job.input, args.output, into_folder, args.preview is not None)
        if output in placed:
            both = f"{placed[output].input} and {job.input} would both become {output}"
            raise VidstyleError(f"{both}: rename one, or paint them into different folders")
        placed[output] = replace(job, output=output)
    check_apart(
        [*placed, *([args.trace] if args.trace else [])],
        [job.input for job in jobs] + list(jobs[0].files),
    )
    there = [output for output in placed if args.skip_existing and exists(output)]
    if there:
        log.info("%d of %d outputs exist and are skipped", len(there), len(placed))
    wanted = [job for output, job in placed.items() if output not in set(there)]
    if args.skip_existing:
        unfinished = args.preview is None
        return [
            replace(job, resume=unfinished and part_folder(Path(job.output)).exists())
            for job in wanted
        ]
    ask = not (args.overwrite or args.never or args.resume)
    return [
        replace(job, overwrite=args.overwrite or (ask and _asked(job.output))) for job in wanted
    ]


def _job(args: argparse.Namespace, styles: Sequence[str], name: str, device: str) -> Any:
    """What the command line asks for; where it goes is found later.

    Raises:
        ValueError: what does not go together.
    """
    from ..io.sink_base import Encoding
    from ..render import Job

    stop = args.stop if args.duration is None else (args.start or 0) + args.duration
    if stop is not None and stop <= (args.start or 0):
        raise ValueError("the part of the clip asked for is empty: -t or -to must lie after -ss")
    if args.preview is not None and (
        args.start is not None or stop is not None or args.trace or args.resume
    ):
        raise ValueError(
            "--preview paints one frame and goes without -ss, -t, -to, --trace and --resume"
        )
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
    from ..io.images import is_numbered, is_still

    preset = PRESETS[
        args.preset or ("still" if is_still(name) and not is_numbered(name) else "standard")
    ]
    given = {knob.name: getattr(args, knob.name) for knob in fields(Settings)}
    return replace(preset, **{name: value for name, value in given.items() if value is not None})
