"""The functions most users need: ``stylize``, ``stylize_video``, ``stream`` and ``render``."""

import difflib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from .conversions import Restore, is_image, to_frame
from .features.extractor import Features
from .features.weights import load_features
from .flow.clip_motion import LOOK_AHEAD_FRAMES, with_motion
from .flow.methods import FlowMethod, load_flow
from .inputs import default_output, is_taken
from .io.frame import Frame
from .io.image_names import is_numbered, is_still
from .io.sink_base import Encoding
from .io.source import open_source
from .progress import Event, ProgressEvent
from .render_job import RenderJob, render_job
from .settings import PRESETS, RENAMED_SETTINGS, Settings
from .styles import check_not_swapped, find_style, to_style
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer
from .stylizer.warm_start import LONG_TERM

FRAME_RATE = Fraction(25)
"""Frames per second of images that carry no times. The result does not depend on it."""

MAX_CACHED_NETWORKS = 2
"""Number of feature networks that stay in memory for the next call."""

ENGINE_OPTIONS = ("features", "device", "weights", "flow_weights", "style_weights", "preset")


@lru_cache(MAX_CACHED_NETWORKS)
def _cached_features(name: str, device: str, weights: str | None) -> Features:
    return load_features(name, device, weights)


def stylize(image: Any, style: Any, **settings: Any) -> Any:
    """Stylise one image.

    Args:
        image: (H, W, 3 or 4) NumPy array, uint8, uint16 or floats from 0 to 1; (3, H, W) or
            (1, 3, H, W) PyTorch tensor of floats from 0 to 1; PIL image; or ``Frame``. RGB.
        style: path of an image, the name of a bundled style such as ``"strokes"``, an image like
            ``image``, a ``Style``, or a list of these, which blends them.
        settings: those of ``Settings`` (``initial_steps``, ``working_size``, ...), ``preset``
            (default: ``"still"``), ``style_weights``, ``features``, ``weights`` and ``device`` as
            for ``render``.

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
    _refuse_path(image, style, "stylize")
    frame, restore = to_frame(image)
    stylizer, _ = _engine("stylize", style, settings, "still")
    return restore(stylizer(frame))


def stylize_video(frames: Any, style: Any, **settings: Any) -> Iterator[Any]:
    """Stylise the frames of a video, each starting from the previous one, warped by optical flow.

    Args:
        frames: path of a clip, or an iterable of images as for ``stylize``, such as a list, a
            generator or a (T, H, W, 3) array. Frames are read when they are needed.
        style: as for ``stylize``.
        settings: as for ``stylize``; the default preset is ``"standard"``. Also ``flow_weights``.

    Returns:
        An iterator of images of the same kind; of (H, W, 3 or 4) arrays for a path. It reads two
        frames ahead to tell cuts from flashes.

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
    single = is_image(frames) and len(getattr(frames, "shape", ())) != 4
    if single:
        raise ValueError("frames is a single image: use vidstyle.stylize, or give a list of images")
    if not isinstance(frames, (str, Path)) and not hasattr(frames, "__iter__"):
        kind = type(frames).__name__
        raise TypeError(f"frames must be the path of a clip or an iterable of images, not {kind}")
    if isinstance(frames, (str, Path)):
        check_not_swapped(frames, _parts(style))
    stylizer, flow = _engine("stylize_video", style, settings, "standard")
    if isinstance(frames, (str, Path)):
        return _stylized_file(frames, stylizer, flow)
    return _stylized_frames(frames, stylizer, flow)


def _stylized_file(path: str | Path, stylizer: Stylizer, flow: FlowMethod | None) -> Iterator[Any]:
    with open_source(path, apply_rotation=True) as source:
        yield from _stylized_frames((frame.image for frame in source), stylizer, flow)


def _stylized_frames(
    images: Iterable[Any], stylizer: Stylizer, flow: FlowMethod | None
) -> Iterator[Any]:
    kinds: deque[Restore] = deque()
    size = (1, 1)

    def frames() -> Iterator[Frame]:
        nonlocal size
        for number, image in enumerate(images):
            frame, restore = to_frame(image, f"frame {number}", number / FRAME_RATE)
            kinds.append(restore)
            size = frame.size
            yield frame

    for frame, motion in with_motion(
        frames(), flow, _distances(stylizer), LOOK_AHEAD_FRAMES, lambda: stylizer.flow_px(size)
    ):
        yield kinds.popleft()(stylizer(frame, motion))


def stream(style: Any, **settings: Any) -> "Stream":
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
    stylizer, flow = _engine("stream", style, settings, "standard")
    return Stream(stylizer, flow)


class Stream:
    """Stylises frames one at a time and computes the optical flow between them itself.

    A cut is detected and the shot after it starts anew. Without frames to look ahead at, a flash
    counts as a cut.

    Args:
        stylizer: does the work.
        flow: optical flow method; None: cuts are detected, motion is not.
    """

    def __init__(self, stylizer: Stylizer, flow: FlowMethod | None) -> None:
        self._stylizer, self._flow = stylizer, flow
        self._closed = False
        self._frame: Frame | None = None
        self.reset()

    def __call__(self, image: Any) -> Any:
        """Stylise the next frame.

        Args:
            image: as for ``stylize``; the size may change.

        Returns:
            An image of the same kind.

        Raises:
            TypeError, ValueError: an image of another kind or shape, or a stream that is closed.
            DeviceError: out of memory.
        """
        if self._closed:
            raise ValueError("the stream is closed: open another one with vidstyle.stream")
        self._frame, restore = to_frame(image)
        frame, motion = next(self._pairs)
        return restore(self._stylizer(frame, motion))

    @property
    def style(self) -> Style:
        """The style from the next frame on. Anything that ``stylize`` takes may be assigned."""
        return self._stylizer.style

    @style.setter
    def style(self, style: Any) -> None:
        self._stylizer.style = to_style(style, self._stylizer.features)
        self._stylizer.reset_learning_rate()

    @property
    def stylizer(self) -> Stylizer:
        """The stylizer that does the work."""
        return self._stylizer

    def reset(self) -> None:
        """Forget all frames: the next one is optimised from scratch."""
        self._stylizer.reset()
        self._frame = None
        self._pairs = with_motion(
            self._frames(), self._flow, _distances(self._stylizer), 0, self._flow_px
        )

    def _frames(self) -> Iterator[Frame]:
        """The frame of each call, when the motion of that frame is asked for."""
        while self._frame is not None:
            yield self._frame

    def _flow_px(self) -> int:
        return self._stylizer.flow_px(self._frame.size if self._frame else (1, 1))

    def close(self) -> None:
        """Free the memory of the frames. Calling it twice does no harm."""
        self._closed = True
        self.reset()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"Stream({self._stylizer!r}, {state})"


def render(  # noqa: PLR0913 (all are keywords)
    input: str | Path,
    style: Any,
    output: str | Path | None = None,
    *,
    preset: str | Settings | None = None,
    progress: bool | Callable[[ProgressEvent], None] = True,
    overwrite: bool = False,
    resume: bool = False,
    start: float | Fraction | None = None,
    stop: float | Fraction | None = None,
    codec: str | None = None,
    crf: int | None = None,
    **settings: Any,
) -> Path:
    """Stylise a clip or an image file, with its sound, subtitles and colours, into a file.

    Args:
        input: a clip, an image, or an image sequence such as ``frame_%05d.png``.
        style: as for ``stylize``.
        output: file to write, its kind chosen by the ending; None: ``INPUT_STYLE.mp4`` next to the
            input, with a number if that exists.
        preset: name of a preset (``draft``, ``standard``, ``final``, ``still``) or ``Settings``
            (default: ``standard`` for clips, ``still`` for images).
        progress: True: show a bar on standard error; False: show nothing; or a function that is
            called with a ``vidstyle.ProgressEvent`` at each iteration and frame.
        overwrite: replace an existing output.
        resume: resume an unfinished render of the same arguments.
        start: of the part of the clip to stylise, in seconds.
        stop: end of that part, in seconds.
        codec: encoder, such as ``h264``, ``hevc``, ``av1``, ``vp9``, ``prores``, ``ffv1`` or
            ``hardware``.
        crf: constant rate factor of the encoder; lower is better.
        settings: those of ``Settings``, and

            - ``style_weights``: one for each style of a list,
            - ``features``: ``"bundled"``, ``"vgg19"``, the path of a feature network, or
            ``Features``,
            - ``weights``: file with VGG-19's weights, where they cannot be downloaded,
            - ``flow_weights``: file with RAFT's weights, where they cannot be downloaded,
            - ``device``: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns:
        The path of the output.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
        VidstyleError: a file that cannot be read or written, or a device that does not exist. The
            frames that are finished are kept, and ``resume=True`` resumes them.

    Example:
        >>> import tempfile, numpy as np, PIL.Image, vidstyle as vs
        >>> folder = tempfile.TemporaryDirectory()
        >>> image = folder.name + "/sky.png"
        >>> PIL.Image.new("RGB", (64, 48), "skyblue").save(image)
        >>> vs.render(image, "ink", initial_steps=2, device="cpu", progress=False).name
        'sky_ink.png'
        >>> folder.cleanup()
    """
    _check_paths(input, style, output)
    default = "still" if is_still(input) and not is_numbered(input) else "standard"
    given = {**settings, "preset": preset}
    stylizer, flow = _engine("render", style, given, default)
    names = _style_names(style)
    if output is None:
        output = default_output(
            str(input), names or ["stylized"], None if overwrite or resume else is_taken
        )
    files = tuple(part for part in _parts(style) if isinstance(part, (str, Path)))
    job = RenderJob(
        input,
        output,
        start=_seconds(start),
        stop=_seconds(stop),
        overwrite=overwrite,
        resume=resume,
        encoding=Encoding(codec, crf),
        quiet=progress is not True,
        listener=_listener(progress),
        flow=flow,
        origin={
            "features": Path(str(settings.get("features", "bundled"))).name,
            "styles": names,
            "style_weights": settings.get("style_weights"),
            "device": str(stylizer.features.device),
        },
        files=tuple(find_style(name) for name in files),
    )
    return Path(render_job(job, stylizer))


def _listener(progress: object) -> Callable[[Event], None] | None:
    if progress is True or progress is False:
        return None
    if not callable(progress):
        raise TypeError(f"progress must be True, False or a function, not {progress!r}")

    def listener(event: Event) -> None:
        if isinstance(event, ProgressEvent):
            progress(event)

    return listener


def _engine(
    function: str, style: Any, settings: dict[str, Any], default_preset: str
) -> tuple[Stylizer, FlowMethod | None]:
    """A stylizer and an optical flow method of the keywords of a function."""
    options = {name: settings[name] for name in ENGINE_OPTIONS if name in settings}
    chosen = {name: value for name, value in settings.items() if name not in options}
    _check_keywords(function, chosen)
    values = _settings(options.get("preset"), default_preset, chosen)
    features = _features(options, style)
    made = to_style(style, features, options.get("style_weights"))
    stylizer = Stylizer(features, made, values)
    flow_weights = options.get("flow_weights")
    return stylizer, load_flow(values.flow, features.device, flow_weights)


def _check_keywords(function: str, given: Iterable[str]) -> None:
    known = [setting.name for setting in fields(Settings)] + list(ENGINE_OPTIONS)
    for name in given:
        if name not in known and name not in RENAMED_SETTINGS:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def _settings(preset: object, default: str, given: dict[str, Any]) -> Settings:
    if preset is None:
        preset = default
    if isinstance(preset, Settings):
        return replace(preset, **given)
    if not isinstance(preset, str):
        raise TypeError(f"preset must be a name or vidstyle.Settings, not {preset!r}")
    try:
        base = PRESETS[preset]
    except KeyError:
        raise ValueError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}") from None
    return replace(base, **given)


def _features(options: dict[str, Any], style: Any) -> Features:
    """The requested features, those that a ``Style`` was made with, or the bundled ones."""
    features = options.get("features")
    if isinstance(features, Features):
        return features
    made = next((part for part in _parts(style) if isinstance(part, Style)), None)
    if features is None and made is not None:
        return made.features
    weights = options.get("weights")
    return _cached_features(
        str(features or "bundled"),
        str(options.get("device", "auto")),
        None if weights is None else str(weights),
    )


def _parts(style: Any) -> Sequence[Any]:
    return style if isinstance(style, (list, tuple)) else [style]


def _style_names(style: Any) -> list[str]:
    return [Path(part).name for part in _parts(style) if isinstance(part, (str, Path))]


def _distances(stylizer: Stylizer) -> Sequence[int]:
    return LONG_TERM if stylizer.settings.long_term else ()


def _seconds(value: float | Fraction | None) -> Fraction | None:
    """Seconds as written in decimals: 0.1 is 1/10."""
    return None if value is None else Fraction(str(value))


def _refuse_path(image: Any, style: Any, function: str) -> None:
    """Explain that a path is not an image."""
    if isinstance(image, (str, Path)):
        swapped = " (or are image and style swapped?)" if is_image(style) else ""
        raise TypeError(
            f"{function} takes an image, not a path: use vidstyle.render for files, or open it "
            f"with PIL.Image.open{swapped}"
        )
    if isinstance(image, Style):
        raise TypeError("image is a vidstyle.Style: image and style seem to be swapped")


def _check_paths(input: Any, style: Any, output: Any) -> None:
    for name, value in (("input", input), ("output", output)):
        if is_image(value):
            raise TypeError(f"{name} is an image, and render works on files: use vidstyle.stylize")
        if not isinstance(value, (str, Path)) and not (name == "output" and value is None):
            raise TypeError(f"{name} must be a path, not {type(value).__name__}")
    check_not_swapped(input, _parts(style))
