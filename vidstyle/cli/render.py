"""The command ``vidstyle render``."""

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from .render_outputs import choose_canvas, choose_output, output_of, with_outputs
from .usage import (
    base_settings,
    events_written,
    flag_of,
    in_flags,
    settings_of,
    usage_errors,
    weights_files,
)

log = logging.getLogger(__name__)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Stylise clips or images into files."""
    from ..distributed.render import is_render_of_shots, render_on_cluster
    from ..features.weights import load_features
    from ..flow.methods import load_flow
    from ..inputs import expand_folders
    from ..keyframes import choose_keyframes
    from ..render_job import open_files
    from ..runtime.device import choose_device
    from ..styles import find_style
    from ..stylizer.style import Style
    from ..stylizer.stylizer import Stylizer

    with usage_errors(parser):
        args.keyframes = choose_keyframes(args.at, args.timeline)
        args.canvas = choose_canvas(args)
        given, style_names = _inputs_and_styles(args)
        styles = [str(find_style(style)) for style in style_names]
        names = expand_folders(given)
        into_folder = choose_output(args, given, styles)
        batch = into_folder or len(names) > 1
        _check_flags(args, batch)
        cluster = _cluster(args)
        settings = {name: settings_of(args, base_settings(args, name)) for name in names}
        device = choose_device(args.device)
        flow = load_flow(settings[names[0]].flow, device, args.flow_weights)
        jobs = [replace(_job(args, styles, name, str(device)), flow=flow) for name in names]
    jobs = with_outputs(args, jobs, into_folder)
    if not jobs:
        return
    with ExitStack() as stack:
        files = None
        whole = args.preview is None and not args.frames and not is_render_of_shots(jobs[0])
        if whole and not batch and not cluster:
            files = stack.enter_context(open_files(jobs[0], settings[names[0]]))
        with usage_errors(parser):
            features = load_features(args.features, args.device, args.weights)
            style = Style.from_images(styles, features, args.style_weights)
            examples = _stylizers(jobs[0], style, settings.values())
        listener = stack.enter_context(events_written(args.json))
        jobs = [replace(job, listener=listener) for job in jobs]

        def make_stylizer(job: Any) -> Stylizer:
            made = Stylizer(features, style, settings[job.input])
            example = examples[settings[job.input]]
            made.timeline, made.regions = example.timeline, example.regions
            return made

        if cluster:
            pairs = [(job, settings[job.input]) for job in jobs]
            where = args.device, args.flow_weights
            render_on_cluster(pairs, make_stylizer(jobs[0]), cluster, *where, message=in_flags)
        else:
            skipped = len(names) - len(jobs) if batch else None
            _render_here(args, jobs, make_stylizer, files, skipped)


def _stylizers(job: Any, style: Any, settings: Iterable[Any]) -> dict[Any, Any]:
    """A stylizer for each of the settings, with the timeline and the regions of a job.

    Raises:
        VidstyleError, ValueError: unknown layers, wrong keyframes or regions.
    """
    from ..render_job import follow_job
    from ..stylizer.stylizer import Stylizer

    made = {chosen: Stylizer(style.features, style, chosen) for chosen in settings}
    for stylizer in made.values():
        follow_job(job, stylizer)
    return made


def _render_here(
    args: argparse.Namespace,
    jobs: Sequence[Any],
    make_stylizer: Callable[[Any], Any],
    files: Any,
    skipped: int | None,
) -> None:
    """Render in this process.

    Args:
        args: of the command.
        jobs: what to render.
        make_stylizer: makes the stylizer of a job.
        files: of a single job, where they are open.
        skipped: number of further jobs of a batch that are done already; None: no batch.
    """
    from ..batch import render_all
    from ..distributed.render import render_here
    from ..preview import preview
    from ..range_jobs import render_frames
    from ..range_render import SEAM_FRAMES

    seam = SEAM_FRAMES if args.seam_frames is None else args.seam_frames

    def render(job: Any) -> None:
        stylizer = make_stylizer(job)
        if args.frames:
            render_frames(job, stylizer, args.frames, seam)
        elif args.preview is not None:
            preview(job, stylizer, args.preview, output_of(args, job, skipped is not None, False))
        else:
            render_here(job, stylizer, args.device, args.flow_weights, files)

    if skipped is None:
        render(jobs[0])
    else:
        render_all(jobs, render, args.quiet, skipped, in_flags)


def _check_flags(args: argparse.Namespace, batch: bool) -> None:
    """Check flags that work with one input only, before models are loaded.

    Raises:
        ValueError: one is given with several.
        OutputError: the output of ``--frames`` has another ending.
    """
    from ..io.segment_archive import joined_name

    if args.frames and (batch or args.output is None):
        raise ValueError("--frames works with one clip and -o FILE, such as -o 0.mp4.segments")
    if args.frames:
        joined_name(Path(args.output))
    if args.trace and batch:
        raise ValueError("--trace works with one input only: render the others without it")


def _cluster(args: argparse.Namespace) -> Any:
    """The ``ClusterOptions`` of the flags; None without ``--ray``.

    Raises:
        ValueError: a value out of range, or flags that exclude each other.
    """
    from ..distributed.render import MAX_TRIES, ClusterOptions

    names = ("workers", "gpus_per_worker", "cpus_per_worker", "max_tries", "split")
    given = [flag_of(name) for name in names if getattr(args, name) is not None]
    if args.ray is None:
        if given:
            raise ValueError(f"{given[0]} works with --ray only: add --ray")
        return None
    if args.preview is not None or args.frames or args.trace:
        raise ValueError("--ray cannot be used with --preview, --frames or --trace")
    if args.json == "-":
        raise ValueError("--json - cannot be used with --ray, which prints there too: name a file")
    counts = args.workers, args.gpus_per_worker, args.cpus_per_worker
    split = None if args.split == "shots" else args.split
    tries = MAX_TRIES if args.max_tries is None else args.max_tries
    return ClusterOptions(args.ray, *counts, tries, split)


def _inputs_and_styles(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """(names of inputs, names of styles).

    Raises:
        ValueError: there is no input or no style.
        InputError: a clip is given as the style of an image.
    """
    from ..styles import check_not_swapped, is_clip

    names = [*([] if args.input is None else [args.input]), *args.names]
    if args.inputs:
        inputs, styles = [*args.inputs, *(names if args.styles else [])], args.styles or names
    elif args.styles:
        inputs, styles = names, args.styles
    else:
        inputs, styles = names[:1], names[1:]
    if not inputs:
        after = " (all names after --style are styles)" if args.styles else ""
        raise ValueError(f"no input given: name a clip, an image or a folder first{after}")
    if styles and all(is_clip(name) for name in (*inputs, *styles)):
        clips = " ".join(names or inputs)
        raise ValueError(
            f"all names are clips, and no style is given: name one after --style, as in vidstyle "
            f"{clips} --style strokes"
        )
    if not styles:
        raise ValueError(
            f"no style given: name an image or a bundled style after the input, as in vidstyle "
            f"{inputs[0]} strokes"
        )
    check_not_swapped(inputs[0], styles)
    return inputs, styles


def _check_together(args: argparse.Namespace, stop: Any) -> None:
    """Check flags that exclude or need each other; ``stop`` is the end of the part in seconds.

    Raises:
        ValueError: they do not fit.
    """
    from ..face_choices import check_faces

    if stop is not None and stop <= (args.start or 0):
        raise ValueError("the part of the clip is empty: -t or -to must lie after -ss")
    if args.preview is not None and (
        args.start is not None or stop is not None or args.trace or args.resume
    ):
        raise ValueError("--preview cannot be used with -ss, -t, -to, --trace or --resume")
    if args.frames and (args.preview is not None or args.trace or args.resume):
        raise ValueError("--frames cannot be used with --preview, --trace or --resume")
    if args.mask_invert and args.mask is None:
        raise ValueError("--mask-invert works with --mask only: add --mask FILE")
    if args.seam_frames is not None and not args.frames:
        raise ValueError("--seam-frames works with --frames only: add --frames START-END")
    check_faces(args.faces, args.face_model)


def _job(args: argparse.Namespace, styles: Sequence[str], name: str, device: str) -> Any:
    """The job of one input; its output is chosen later.

    Raises:
        ValueError: flags that exclude each other.
    """
    from ..io.image_names import is_numbered
    from ..io.mask_file import PEOPLE, MaskFile
    from ..io.sink_base import Encoding
    from ..job import RenderJob
    from ..painted_keyframes import parse_painted_keyframes
    from ..regions import parse_regions

    if args.rate is not None and not is_numbered(name):
        log.warning("-r is for image sequences such as frame_%%05d.png: %s keeps its rate", name)
    stop = args.stop if args.duration is None else (args.start or 0) + args.duration
    _check_together(args, stop)
    regions = parse_regions(args.regions, any(each.region for each in args.keyframes))
    masks = args.mask, *(str(region.mask.path) for region in regions)
    if args.person_model and not set(masks) & set(PEOPLE):
        raise ValueError(
            "--person-model works with masks of people only: add --mask person, or "
            "--region person=STYLE"
        )
    return RenderJob(
        name,
        args.output or "",
        start=args.start,
        stop=stop,
        rate=args.rate,
        sdr=args.hdr == "sdr",
        resume=args.resume,
        encoding=Encoding(args.codec, args.crf, args.sound, pipe=args.pipe),
        trace=args.trace,
        quiet=args.quiet,
        provenance={
            "features": Path(args.features).name,
            "styles": [Path(style).name for style in styles],
            "style_weights": args.style_weights,
            "device": device,
        },
        files=(*styles, *weights_files(args)),
        mask=None if args.mask is None else MaskFile(args.mask, args.mask_invert),
        keyframes=args.keyframes,
        regions=regions,
        painted=parse_painted_keyframes(args.painted),
        person_model=args.person_model,
        faces=args.faces,
        face_model=args.face_model,
        look=args.look,
        look_before=args.look_before,
        canvas=args.canvas,
    )
