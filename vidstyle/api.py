"""The functions most users need: ``stylize``, ``stylize_video``, ``stream`` and ``render``."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from .api_arguments import (
    check_paths,
    job_style,
    make_stylizer,
    refuse_path,
    split_render_keywords,
    style_names,
)
from .api_masks import ImageMasks, split_masks
from .api_stream import Stream
from .conversions import Restore, is_image, to_frame
from .distributed.render import ClusterOptions, render_here, render_on_cluster
from .flow.clip_motion import with_motion
from .flow.methods import FlowMethod
from .inputs import default_output, is_taken
from .io.frame import Frame
from .io.image_names import is_numbered, is_still
from .io.source import open_source
from .job import RenderJob
from .pipeline import Report
from .progress import Event, Listener, ProgressDisplay, ProgressEvent
from .render_job import follow_job
from .render_progress import ClipProgress, iteration_progress
from .settings import Settings
from .styles import check_not_swapped, style_parts
from .stylizer.backward_pass import BackwardPass, uses_backward_pass
from .stylizer.stylizer import Stylizer

FRAME_RATE = Fraction(25)
"""Frames per second of images that carry no times. The result does not depend on it."""

Shown = tuple[bool, Listener | None]
"""Whether a progress bar is shown, and what is called with the progress."""


def stylize(
    image: Any,
    style: Any,
    *,
    progress: bool | Callable[[ProgressEvent], None] = False,
    **settings: Any,
) -> Any:
    """Stylise one image.

    Args:
        image: (H, W, 3 or 4) NumPy array, uint8, uint16 or floats from 0 to 1; (3, H, W) or
            (1, 3, H, W) PyTorch tensor of floats from 0 to 1; PIL image; or ``Frame``. RGB.
        style: path of an image, the name of a bundled style such as ``"strokes"``, an image like
            ``image``, a ``Style``, or a list of these, which blends them.
        progress: False, True or a function as for ``render``, called at each iteration. An
            exception that the function raises ends the work and reaches the caller.
        settings: those of ``Settings`` (``initial_steps``, ``working_size``, ...), ``preset``
            (default: ``"still"``), ``style_weights``, ``features``, ``weights`` and ``device`` as
            for ``render``; ``mask``, ``mask_invert``, ``regions``, ``person_model``, ``faces`` and
            ``face_model``, see ``ImageMasks`` and ``RenderOptions``.

    Returns:
        An image of the same kind, type and, unless ``size`` or ``compare`` is given, shape.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.
        VidstyleError: a file that cannot be read, or a device that does not exist.

    Example:
        >>> import numpy as np, vidstyle as vs
        >>> image = np.full((48, 64, 3), 128, np.uint8)
        >>> vs.stylize(image, "strokes", initial_steps=2, device="cpu").shape
        (48, 64, 3)
    """
    if "steps" in settings:
        raise TypeError("a single image is optimised from scratch: use initial_steps, not steps")
    refuse_path(image, style, "stylize")
    frame, restore = to_frame(image)
    masks, settings = split_masks(settings, still=True)
    listener = _listener(progress)
    stylizer, _ = make_stylizer("stylize", style, settings, "still")
    masks.add_regions(stylizer)
    with iteration_progress(stylizer, progress is not True, None, listener):
        return restore(stylizer(masks.applied(frame)))


def stylize_video(
    frames: Any,
    style: Any,
    *,
    progress: bool | Callable[[ProgressEvent], None] = False,
    **settings: Any,
) -> Iterator[Any]:
    """Stylise the frames of a video, each starting from the previous one, warped by optical flow.

    Args:
        frames: path of a clip, or an iterable of images as for ``stylize``, such as a list, a
            generator or a (T, H, W, 3) array. Frames are read when they are needed.
        style: as for ``stylize``.
        progress: False, True or a function as for ``render``. An exception that the function raises
            ends the work and reaches the caller.
        settings: as for ``stylize``; the default preset is ``"standard"``. Also ``flow_weights``.

    Returns:
        An iterator of images of the same kind; of (H, W, 3 or 4) arrays for a path, HDR as standard
        range. It reads up to 34 frames ahead: for the backward pass, and to tell cuts from flashes.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.
        VidstyleError: a file that cannot be read, or a device that does not exist.

    Example:
        >>> import numpy as np, vidstyle as vs
        >>> frames = (np.full((48, 64, 3), level, np.uint8) for level in (100, 110))
        >>> for image in vs.stylize_video(frames, "ink", initial_steps=2, steps=1, device="cpu"):
        ...     print(image.shape)
        (48, 64, 3)
        (48, 64, 3)
    """
    if is_image(frames) and len(getattr(frames, "shape", ())) != 4:
        raise ValueError("frames is a single image: use vidstyle.stylize, or give a list of images")
    if isinstance(frames, (str, Path)):
        check_not_swapped(frames, style_parts(style))
    elif not hasattr(frames, "__iter__"):
        kind = type(frames).__name__
        raise TypeError(f"frames must be the path of a clip or an iterable of images, not {kind}")
    masks, settings = split_masks(settings)
    shown = progress is True, _listener(progress)
    stylizer, flow = make_stylizer("stylize_video", style, settings, "standard")
    masks.add_regions(stylizer)
    if isinstance(frames, (str, Path)):
        return _stylized_file(frames, stylizer, flow, masks, shown)
    total = len(frames) if hasattr(frames, "__len__") else None
    return _stylized_frames(frames, stylizer, flow, masks, shown, total)


def _stylized_file(
    path: str | Path,
    stylizer: Stylizer,
    flow: FlowMethod | None,
    masks: ImageMasks,
    shown: Shown,
) -> Iterator[Any]:
    with open_source(path, sdr=True, apply_rotation=True) as source:
        images = (frame.image for frame in source)
        total = source.format.frames
        yield from _stylized_frames(images, stylizer, flow, masks, shown, total)


def _stylized_frames(
    images: Iterable[Any],
    stylizer: Stylizer,
    flow: FlowMethod | None,
    masks: ImageMasks,
    shown: Shown,
    total: int | None,
) -> Iterator[Any]:
    kinds: deque[Restore] = deque()
    size = (1, 1)

    def frames() -> Iterator[Frame]:
        nonlocal size
        for number, image in enumerate(images):
            frame, restore = to_frame(image, f"frame {number}", number / FRAME_RATE)
            kinds.append(restore)
            size = frame.size
            yield masks.applied(frame)

    pairs = with_motion(
        frames(),
        flow,
        size_px=lambda: stylizer.flow_px(size),
        reverse=uses_backward_pass(stylizer),
    )
    bar, listener = shown
    with ProgressDisplay("frame", total, not bar, listener=listener) as display:
        progress, report = ClipProgress(display, stylizer, 0, total), Report()
        stylizer.on_iteration = progress.on_iteration
        for planned in BackwardPass(pairs, stylizer):
            stylized = stylizer(planned.frame, planned.motion, proposal=planned.proposal)
            report.frames += 1
            report.iterations = stylizer.iterations
            progress.on_frame(report)
            yield kinds.popleft()(stylized)


def stream(style: Any, **settings: Any) -> Stream:
    """A stylizer for frames that arrive one at a time, as from a camera.

    Args:
        style: as for ``stylize``.
        settings: as for ``stylize_video``.

    Returns:
        A context manager to call with each frame, see ``Stream``.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.
        VidstyleError: a file that cannot be read, or a device that does not exist.

    Example:
        >>> import numpy as np, vidstyle as vs
        >>> with vs.stream("ink", preset="draft", initial_steps=2, device="cpu") as stylized:
        ...     for level in (100, 110):
        ...         print(stylized(np.full((48, 64, 3), level, np.uint8)).shape)
        (48, 64, 3)
        (48, 64, 3)
    """
    masks, settings = split_masks(settings)
    stylizer, flow = make_stylizer("stream", style, settings, "standard")
    masks.add_regions(stylizer)
    return Stream(stylizer, flow, masks)


def render(
    input: str | Path,
    style: Any,
    output: str | Path | None = None,
    *,
    preset: str | Settings | None = None,
    progress: bool | Callable[[ProgressEvent], None] = True,
    **keywords: Any,
) -> Path:
    """Stylise a clip or an image file, with its sound, subtitles and colours, into a file.

    Args:
        input: a clip, an image, or an image sequence such as ``frame_%05d.png``.
        style: as for ``stylize``.
        output: file to write, its kind chosen by the ending; None: ``INPUT_STYLE.mp4`` next to the
            input, with a number if that exists.
        preset: a preset's name (default: ``standard``, for images ``still``), or ``Settings``.
        progress: True: show a bar on standard error; False: show nothing; or a function that is
            called with a ``vidstyle.ProgressEvent`` at each iteration and frame.
        keywords: those of ``vidstyle.api_arguments.RenderOptions`` (``overwrite``, ``resume``,
            ``mask``, ``codec``, ``ray``, ...), those of ``Settings``, and

            - ``style_weights``: one for each style of a list,
            - ``features``: ``"bundled"``, ``"vgg16"``, ``"vgg19"``, a path, or ``Features``,
            - ``weights``, ``flow_weights``: files with a VGG's and RAFT's weights, offline,
            - ``device``: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns:
        The path of the output.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
        VidstyleError: of a file or device. ``resume=True`` goes on after the finished frames.

    Example:
        >>> import tempfile, PIL.Image, vidstyle as vs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = folder + "/sky.png"
        ...     PIL.Image.new("RGB", (64, 48), "skyblue").save(image)
        ...     vs.render(image, "ink", initial_steps=2, device="cpu", progress=False).name
        'sky_ink.png'
    """
    check_paths(input, style, output)
    options, settings = split_render_keywords(keywords)
    default = "still" if is_still(input) and not is_numbered(input) else "standard"
    stylizer, flow = make_stylizer("render", style, {**settings, "preset": preset}, default)
    taken = None if options.overwrite or options.resume else is_taken
    if output is None:
        output = default_output(str(input), style_names(style) or ["stylized"], taken)
    job = replace(
        options.job(input, output),
        quiet=progress is not True,
        listener=_listener(progress),
        flow=flow,
        **job_style(style, settings, str(stylizer.features.device)),
    )
    follow_job(job, stylizer)
    _render(job, stylizer, options.cluster(), settings)
    return Path(job.output)


def _render(
    job: RenderJob,
    stylizer: Stylizer,
    cluster: ClusterOptions | None,
    settings: Mapping[str, Any],
) -> None:
    """Render a job on a cluster, or in this process."""
    where = str(settings.get("device", "auto")), settings.get("flow_weights")
    if cluster is None:
        render_here(job, stylizer, *where)
    else:
        render_on_cluster([(job, stylizer.settings)], stylizer, cluster, *where)


def _listener(progress: object) -> Listener | None:
    if progress is True or progress is False:
        return None
    if not callable(progress):
        raise TypeError(f"progress must be True, False or a function, not {progress!r}")

    def listener(event: Event) -> None:
        if isinstance(event, ProgressEvent):
            progress(event)

    return listener
