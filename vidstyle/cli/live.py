"""The command ``vidstyle live``."""

import argparse
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..runtime.interrupts import deferred
from ..settings import Settings
from ..user_folders import data_folder
from .https import check_https_flags
from .live_flags import SHARED_OUTPUTS
from .live_outputs import open_outputs
from .usage import settings_of, usage_errors, weights_files

BROWSER = "browser"
"""The name of the camera of the browser that opens the control page."""


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Stylise a camera in real time."""
    from ..io.files import is_url, name_in_file
    from ..io.outputs import check_apart
    from ..io.recording_names import check_recording
    from ..live.browser_camera import BROWSER_SIZE, BrowserCamera
    from ..live.camera import open_camera
    from ..live.startup import LiveOptions, SessionClosed, preview_while_loading
    from ..live.window import DisplayCheck, Window

    args.outputs = [name_in_file(output) for output in args.outputs]
    args.camera = name_in_file(args.camera)
    with usage_errors(parser):
        files = [Path(output) for output in args.outputs if not is_url(output)]
        _check(args, files)
        seconds = None if args.duration is None else float(args.duration)
        changed: dict[str, Any] = {} if args.steps is None else {"max_steps": args.steps}
        changed["presets"] = data_folder() / "live" / "presets.json"
        show = LiveOptions(
            args.fps, args.fade_seconds, seconds, files[0] if files else None, **changed
        )
        settings = _settings(args)
        args.style_files = _style_files(args)
        args.set_list = None if args.timeline is None else _set_list(args)
        area, region_files = _area(args)
    others = args.person_model, args.face_model
    models = [*weights_files(args), *(path for path in others if path)]
    check_apart(files, (args.camera, *args.style_files, *region_files, *models))
    for file in files:
        check_recording(file, args.overwrite)
    size = args.camera_size[0] if args.camera_size else None
    with ExitStack() as stack:
        display = DisplayCheck() if args.window else None
        if display is not None:
            stack.callback(display.close)
        browser = BrowserCamera(size or BROWSER_SIZE, args.fps) if _is_browser(args) else None
        outputs = open_outputs(args, parser, stack, browser)
        outputs += [args.set_list] if args.set_list else []
        source = stack.enter_context(browser or open_camera(args.camera, args.loop, size, args.fps))
        source.area = area
        if args.microphone is not None:
            from ..live.microphone import Microphone

            microphone = stack.enter_context(closing(Microphone(args.microphone)))
            show = replace(show, microphone=microphone)
        window = Window(check=display) if display is not None else None
        if window is not None:
            stack.callback(window.close)
        try:
            with usage_errors(parser):
                stylizer, styles, flow = preview_while_loading(
                    source, window, lambda: _load_stylizer(args, settings, source)
                )
        except SessionClosed:
            return
        from ..live.loop import live
        from ..live.session import Session

        with deferred():  # a recording is to be finished
            live(Session(show, source, stylizer, styles, window, outputs), source, stylizer, flow)


def _is_browser(args: argparse.Namespace) -> bool:
    """Whether the camera is that of a browser."""
    return bool(args.camera == BROWSER) and not Path(BROWSER).is_file()


def _check(args: argparse.Namespace, files: list[Path]) -> None:
    """Check flags that depend on each other.

    Raises:
        ValueError: two recordings, no output at all, a flag of the control page without it, or half
            a certificate.
    """
    if len(files) > 1:
        raise ValueError("one recording at a time: give -o one file, and any number of addresses")
    if args.allowed_hosts and args.web is None and not args.obs:
        raise ValueError("--allow-host is for the control page: add --web")
    check_https_flags(args)
    if _is_browser(args) and args.web is None:
        raise ValueError("--camera browser is for the control page: add --web")
    if args.https or args.certificate:
        if args.web is None:
            raise ValueError("HTTPS is for the control page: add --web")
        if args.obs:
            raise ValueError("OBS opens the control page without HTTPS: go without --obs")
    outputs = args.window, args.outputs, args.web is not None, args.obs
    named = (getattr(args, name) for name in ("virtual_camera", *SHARED_OUTPUTS))
    if not any(outputs) and all(name is None for name in named):
        remedy = "add -o, --web, --virtual-camera, --obs, --ndi, --spout or --syphon"
        raise ValueError(f"--no-window leaves no output: {remedy}")


def _settings(args: argparse.Namespace) -> Settings:
    """The settings at the start of a session; iterations are added when there is time for them."""
    from ..live.defaults import live_settings

    base = live_settings(args.preset)
    settings = settings_of(args, base)
    return replace(settings, steps=min(settings.steps, base.steps))


def _style_files(args: argparse.Namespace) -> list[Path]:
    """The files of the styles: those given, or the bundled ones."""
    from ..io.images import bundled_styles, style_file

    given = [style_file(name) for name in args.names] or list(bundled_styles().values())
    return [Path(file) for file in given]


def _set_list(args: argparse.Namespace) -> Any:
    """The set list of ``--timeline``; its styles join those of the session."""
    from ..keyframes import read_timeline
    from ..live.set_list import SetList

    entries = read_timeline(args.timeline)
    later = [path for entry in entries for path in entry.styles if entry.region is None]
    args.style_files = list(dict.fromkeys([*args.style_files, *later]))
    return SetList(entries, args.style_files)


def _area(args: argparse.Namespace) -> tuple[Any, list[Path]]:
    """The masks of the session, and the files of masks and of the styles of regions."""
    from ..face_choices import check_faces
    from ..io.mask_file import NAMES, MaskFile
    from ..live.stylized_area import AREAS, DRAWN, StylizedArea

    if args.regions:  # they load PyTorch, for which the camera does not wait otherwise
        from ..regions import parse_regions

        args.regions = parse_regions(args.regions, timed=args.timeline is not None)
    drawn = None if args.mask in AREAS else MaskFile(args.mask)
    masks = [region.mask for region in args.regions]
    name = args.mask if drawn is None else DRAWN
    check_faces(args.faces, args.face_model)
    area = StylizedArea(args.person_model, name, args.face_model, drawn, masks, args.faces)
    files = [Path(mask.path) for mask in [*masks, drawn] if mask and str(mask.path) not in NAMES]
    return area, [*files, *(region.style for region in args.regions if region.style)]


def _load_stylizer(args: argparse.Namespace, settings: Settings, source: Any) -> Any:
    """(stylizer, [(name, style)], flow), all that takes long to load."""
    from ..features.weights import load_features
    from ..flow.methods import load_flow
    from ..live.session import prepare_styles
    from ..regions import load_regions
    from ..runtime.device import choose_device
    from ..stylizer.style import Style
    from ..stylizer.stylizer import Stylizer

    flow = load_flow(settings.flow, choose_device(args.device), args.flow_weights)
    features = load_features(args.features, args.device, args.weights)
    styles = [(Path(name).stem, Style.from_images([name], features)) for name in args.style_files]
    stylizer = Stylizer(features, styles[0][1], settings)
    stylizer.regions = load_regions(args.regions, features, settings.content_weight)
    of_regions = [region.style for region in stylizer.regions if region.style]
    if args.set_list:
        of_regions += args.set_list.load_regions(stylizer)
    prepare_styles([*(style for _, style in styles), *of_regions], stylizer, source.format.size)
    source.area.load()
    return stylizer, styles, flow
