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
    """Stylise clips or images into files."""
    from ..batch import render_all
    from ..features.weights import load_features
    from ..flow.methods import load_flow
    from ..inputs import expand_folders, output_is_folder
    from ..render_job import check_job
    from ..runtime.device import choose_device
    from ..styles import find_style
    from ..stylizer.style import Style
    from ..stylizer.stylizer import Stylizer

    with usage_errors(parser):
        given, style_names = _inputs_and_styles(args)
        styles = [str(find_style(style)) for style in style_names]
        names = expand_folders(given)
        several = bool(args.styles)
        into_folder = output_is_folder(given, args.output, several)
        if args.trace and len(names) > 1:
            raise ValueError("--trace works with one input only: render the others without it")
        settings = {name: _settings(args, name) for name in names}
        device = choose_device(args.device)
        flow = load_flow(settings[names[0]].flow, device, args.flow_weights)
        jobs = [replace(_job(args, styles, name, str(device)), flow=flow) for name in names]
    jobs = _with_outputs(args, jobs, into_folder)
    if not jobs:
        return
    if not into_folder and args.preview is None:
        check_job(jobs[0], settings[names[0]])
    with usage_errors(parser):
        features = load_features(args.features, args.device, args.weights)
        style = Style.from_images(styles, features, args.style_weights)
        for chosen in dict.fromkeys(settings.values()):
            Stylizer(features, style, chosen)  # reports unknown layers before the work begins

    def render(job: Any) -> None:
        _render(args, job, Stylizer(features, style, settings[job.input]), into_folder)

    if into_folder:
        render_all(jobs, render, args.quiet, len(names) - len(jobs), in_flags)
    else:
        render(jobs[0])


def _render(args: argparse.Namespace, job: Any, stylizer: Any, into_folder: bool) -> None:
    from ..inputs import resolve_output
    from ..preview import preview
    from ..render_job import render_job

    if args.preview is None:
        render_job(job, stylizer)
    else:
        final = resolve_output(job.input, args.output, into_folder, preview=False)
        preview(job, stylizer, args.preview, final)


def _inputs_and_styles(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """(names of inputs, names of styles).

    Raises:
        ValueError: there is no style.
    """
    if args.styles:
        return [args.input, *args.names], args.styles
    if not args.names:
        raise ValueError("no style given: name an image or a bundled style after the input")
    return [args.input], args.names


def _with_outputs(args: argparse.Namespace, jobs: Sequence[Any], into_folder: bool) -> list[Any]:
    """The jobs with their outputs, without those that --skip-existing leaves out.

    Raises:
        VidstyleError: two jobs have the same output, or an output is an input.
    """
    from ..inputs import resolve_output
    from ..io.files import part_folder
    from ..io.outputs import check_apart, exists

    by_output: dict[str | Path, Any] = {}
    for job in jobs:
        output = resolve_output(job.input, args.output, into_folder, args.preview is not None)
        if output in by_output:
            both = f"{by_output[output].input} and {job.input} would both become {output}"
            raise VidstyleError(f"{both}: rename one, or render them into different folders")
        by_output[output] = replace(job, output=output)
    written = [*by_output, *([args.trace] if args.trace else [])]
    check_apart(written, [job.input for job in jobs] + list(jobs[0].files))
    existing = [output for output in by_output if args.skip_existing and exists(output)]
    if existing:
        log.info("%d of %d outputs exist and are skipped", len(existing), len(by_output))
    wanted = [job for output, job in by_output.items() if output not in set(existing)]
    if args.skip_existing:
        resumable = args.preview is None
        return [
            replace(job, resume=resumable and part_folder(Path(job.output)).exists())
            for job in wanted
        ]
    ask = not (args.overwrite or args.never or args.resume)
    return [
        replace(job, overwrite=args.overwrite or (ask and _asked(job.output))) for job in wanted
    ]


def _job(args: argparse.Namespace, styles: Sequence[str], name: str, device: str) -> Any:
    """The job of one input; its output is chosen later.

    Raises:
        ValueError: flags that exclude each other.
    """
    from ..io.sink_base import Encoding
    from ..render_job import RenderJob

    stop = args.stop if args.duration is None else (args.start or 0) + args.duration
    if stop is not None and stop <= (args.start or 0):
        raise ValueError("the part of the clip is empty: -t or -to must lie after -ss")
    if args.preview is not None and (
        args.start is not None or stop is not None or args.trace or args.resume
    ):
        raise ValueError("--preview cannot be used with -ss, -t, -to, --trace or --resume")
    return RenderJob(
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
    """Ask whether to replace an existing output, as ffmpeg does, if there is a terminal."""
    if not (Path(output).is_file() and sys.stdin is not None and sys.stdin.isatty()):
        return False
    print(f"{output} exists. Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _settings(args: argparse.Namespace, name: str) -> Settings:
    from ..io.image_names import is_numbered, is_still

    preset = PRESETS[
        args.preset or ("still" if is_still(name) and not is_numbered(name) else "standard")
    ]
    given = {setting.name: getattr(args, setting.name) for setting in fields(Settings)}
    return replace(preset, **{name: value for name, value in given.items() if value is not None})
