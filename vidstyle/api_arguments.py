"""Arguments of the functions of ``api``: checked, and turned into a stylizer, settings or a job."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from .canvas import Canvas
from .conversions import is_image
from .distributed.render import MAX_TRIES, ClusterOptions
from .face_choices import KEEP, check_faces
from .features.extractor import Features
from .features.weights import load_features
from .flow.methods import FlowMethod, load_flow
from .io.mask_file import MaskFile
from .io.sink_base import Encoding
from .job import RenderJob
from .keyframes import KeyframeEntry, make_entry, read_timeline
from .painted_keyframes import painted_keyframes
from .regions import make_region
from .settings import PRESETS, REMOVED_SETTINGS, RENAMED_SETTINGS, Settings
from .styles import check_not_swapped, find_style, style_parts, to_style
from .stylizer.style import Style
from .stylizer.stylizer import Stylizer
from .time_text import exact_fraction

MAX_CACHED_NETWORKS = 2
"""Number of feature networks that stay in memory for the next call."""


ENGINE_OPTIONS = ("features", "device", "weights", "flow_weights", "style_weights", "preset")
"""Keywords that are no settings, of all functions."""

MASK_KEYWORDS = ("mask", "mask_invert", "regions", "person_model", "faces", "face_model")
"""Keywords of ``ImageMasks``, for images in memory."""

HDR_CHOICES = ("keep", "sdr")


@dataclass(frozen=True)
class RenderOptions:
    """Keywords of ``render`` besides the settings: what is read, and how the output is written.

    Args:
        overwrite: replace an existing output.
        resume: resume an unfinished render of the same arguments.
        start: of the part of the clip to stylise, in seconds.
        stop: end of that part, in seconds.
        rate: frames per second of an image sequence; None: 25.
        hdr: ``"keep"``: HDR stays HDR; ``"sdr"``: convert it to standard dynamic range.
        mask: an image or clip: frames are stylised where it is white, or opaque where it has alpha;
            ``"alpha"``: where the clip is opaque; ``"person"``, ``"background"``: where a model
            finds people, or not; None: everywhere.
        mask_invert: stylise where the mask is black.
        regions: parts of the frames with styles of their own: a list of dicts such as ``{"mask":
            "person.mp4", "style": "ink", "strength": 0.8}``, with the keys ``mask``, ``invert``,
            ``name``, ``style``, ``strength``, ``style_scale`` and ``content_weight``.
        timeline: changes of style and settings over time: a TOML file, see ``vidstyle render
            --help``; or a list of dicts with its keys, such as ``{"time": 10, "style": "b.jpg",
            "fade": 2}``, of which those with ``"region": "person"`` change that region alone; None:
            no changes.
        painted: painted keyframes: time in seconds -> image of the whole frame at that time,
            painted by hand or by another program, which spreads along the motion.
        person_model: finds people for the masks ``"person"`` and ``"background"``: a ``.tflite`` or
            ``.onnx`` file, or torchvision's state dict of ``lraspp_mobilenet_v3_large``; None: that
            one is downloaded, once.
        faces: ``"keep"``: eyes and mouths keep more of the content; ``"paint"``: they are stylised
            like all else.
        face_model: finds faces: YuNet (``.onnx``) or MediaPipe's
            ``face_detection_full_range.tflite``; None: the bundled model.
        look: LUT (``.cube``) that changes the colours of the stylised frames.
        look_before: LUT that changes the colours of the frames before they are stylised.
        canvas: (width, height) of the output in px, such as (1080, 1920); None: see ``size``.
        fit: how frames of another shape get that size: ``"fill"`` crops them, ``"pad"`` adds bars,
            ``"fit"`` makes them as large as fits.
        audio: whether the output has the clip's audio.
        codec: encoder, such as ``h264``, ``hevc``, ``av1``, ``vp9``, ``prores``, ``ffv1`` or
            ``hardware``; None: the default of the container.
        crf: constant rate factor of the encoder, lower is better; None: the encoder's default.
        trace: file for the losses of all iterations, as ``.json`` or as a ``.png`` plot; None: no
            file.
        ray: stylise the shots of the clip on the workers of a Ray cluster: its address
            ``"HOST:PORT"``, or True for several workers of this machine.
        workers: their number; None: as many as the cluster has room for.
        gpus_per_worker: GPUs of each worker, 0.5 for two workers on each GPU; None: one where
            there are GPUs.
        cpus_per_worker: CPU cores and threads of each worker; None: two beside a GPU, else one.
        max_tries: how often a shot is tried whose worker or machine fails.
        split: ``"shots"``: the frames are those of one machine's render; or the maximum number of
            frames of a shot, which are split if they have more.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range.
    """

    overwrite: bool = False
    resume: bool = False
    start: float | Fraction | None = None
    stop: float | Fraction | None = None
    rate: float | Fraction | None = None
    hdr: str = "keep"
    mask: str | Path | None = None
    mask_invert: bool = False
    regions: Sequence[Mapping[str, Any]] = ()
    timeline: str | Path | Sequence[Mapping[str, Any]] | None = None
    painted: Mapping[Any, str | Path] = field(default_factory=dict)
    person_model: str | Path | None = None
    faces: str = KEEP
    face_model: str | Path | None = None
    look: str | Path | None = None
    look_before: str | Path | None = None
    canvas: tuple[int, int] | None = None
    fit: str = "fill"
    audio: bool = True
    codec: str | None = None
    crf: int | None = None
    trace: str | Path | None = None
    ray: bool | str = False
    workers: int | None = None
    gpus_per_worker: float | None = None
    cpus_per_worker: int | None = None
    max_tries: int = MAX_TRIES
    split: str | int = "shots"

    def __post_init__(self) -> None:
        if self.hdr not in HDR_CHOICES:
            raise ValueError(f"hdr is {self.hdr!r}: use one of {', '.join(HDR_CHOICES)}")
        if not isinstance(self.audio, bool):
            raise TypeError(f"audio must be True or False, not {self.audio!r}")
        if not isinstance(self.trace, (str, Path, type(None))):
            raise TypeError(f"trace must be a path, not {type(self.trace).__name__}")
        if not isinstance(self.mask, (str, Path, type(None))):
            raise TypeError(f"mask must be a path, not {type(self.mask).__name__}")
        if self.mask_invert and self.mask is None:
            raise ValueError("mask_invert works with a mask only: give mask=FILE")
        if not isinstance(self.painted, Mapping) or not all(
            isinstance(path, (str, Path)) for path in self.painted.values()
        ):
            raise TypeError("painted must be a dict of times and paths, such as {3: 'painted.png'}")
        check_faces(self.faces, self.face_model)

    def cluster(self) -> ClusterOptions | None:
        """The cluster to render on; None: this process renders.

        Raises:
            ValueError: a value out of range.
        """
        if not self.ray:
            return None
        if isinstance(self.split, str) and self.split != "shots":
            raise ValueError(f"split is {self.split!r}: use 'shots' or a number of frames")
        return ClusterOptions(
            "local" if self.ray is True else self.ray,
            self.workers,
            self.gpus_per_worker,
            self.cpus_per_worker,
            self.max_tries,
            None if isinstance(self.split, str) else self.split,
        )

    def job(self, input: str | Path, output: str | Path) -> RenderJob:
        """The job of these options."""
        keyframes = self._keyframes()
        timed = any(keyframe.region for keyframe in keyframes)
        start, stop, rate = (
            None if number is None else exact_fraction(number)
            for number in (self.start, self.stop, self.rate)
        )
        return RenderJob(
            input,
            output,
            start=start,
            stop=stop,
            rate=rate,
            sdr=self.hdr == "sdr",
            overwrite=self.overwrite,
            resume=self.resume,
            encoding=Encoding(self.codec, self.crf, self.audio),
            trace=None if self.trace is None else Path(self.trace),
            mask=None if self.mask is None else MaskFile(self.mask, self.mask_invert),
            keyframes=keyframes,
            regions=tuple(make_region(table, timed) for table in self.regions),
            painted=painted_keyframes(self.painted.items()),
            person_model=None if self.person_model is None else Path(self.person_model),
            faces=self.faces,
            face_model=None if self.face_model is None else Path(self.face_model),
            look=None if self.look is None else Path(self.look),
            look_before=None if self.look_before is None else Path(self.look_before),
            canvas=None if self.canvas is None else Canvas(self.canvas, self.fit),
        )

    def _keyframes(self) -> tuple[KeyframeEntry, ...]:
        if isinstance(self.timeline, (str, Path)):
            return read_timeline(self.timeline)
        return tuple(make_entry(table) for table in self.timeline or ())


def split_render_keywords(keywords: dict[str, Any]) -> tuple[RenderOptions, dict[str, Any]]:
    """(options, all other keywords) of ``api.render``.

    Raises:
        TypeError, ValueError: an unknown keyword, or an option of the wrong kind or range.
    """
    names = [option.name for option in fields(RenderOptions)]
    check_keywords("render", keywords, names)
    options = {name: value for name, value in keywords.items() if name in names}
    return RenderOptions(**options), {k: v for k, v in keywords.items() if k not in options}


@lru_cache(MAX_CACHED_NETWORKS)
def _cached_features(name: str, device: str, weights: str | None) -> Features:
    return load_features(name, device, weights)


def make_stylizer(
    function: str, style: Any, settings: dict[str, Any], default_preset: str
) -> tuple[Stylizer, FlowMethod | None]:
    """The stylizer and the optical flow method for the keywords of a function.

    Args:
        function: its name, for errors.
        style: as ``api.stylize`` takes it.
        settings: all keywords.
        default_preset: name of the preset where none is given.
    """
    options = {name: settings[name] for name in ENGINE_OPTIONS if name in settings}
    chosen = {name: value for name, value in settings.items() if name not in options}
    check_keywords(function, chosen, MASK_KEYWORDS)
    values = choose_settings(options.get("preset"), default_preset, chosen)
    features = choose_features(options, style)
    made = to_style(style, features, options.get("style_weights"))
    stylizer = Stylizer(features, made, values)
    flow_weights = options.get("flow_weights")
    return stylizer, load_flow(values.flow, features.device, flow_weights)


def check_keywords(function: str, given: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise TypeError for an unknown keyword, with the nearest known one.

    Args:
        function: its name, for the error.
        given: names of keywords.
        others: further known names.
    """
    known = [*(setting.name for setting in fields(Settings)), *ENGINE_OPTIONS, *others]
    for name in given:
        if name not in known and name not in {**RENAMED_SETTINGS, **REMOVED_SETTINGS}:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def choose_settings(preset: object, default: str, given: dict[str, Any]) -> Settings:
    """The settings of a preset (a name, ``Settings`` or None) changed by keywords."""
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


def choose_features(options: dict[str, Any], style: Any) -> Features:
    """The requested features, those that a ``Style`` was made with, or the bundled ones."""
    features = options.get("features")
    if isinstance(features, Features):
        return features
    made = next((part for part in style_parts(style) if isinstance(part, Style)), None)
    if features is None and made is not None:
        return made.features
    weights = options.get("weights")
    return _cached_features(
        str(features or "bundled"),
        str(options.get("device", "auto")),
        None if weights is None else str(weights),
    )


def style_names(style: Any) -> list[str]:
    """File names of the styles that are paths or names."""
    return [Path(part).name for part in style_parts(style) if isinstance(part, (str, Path))]


def job_style(style: Any, options: dict[str, Any], device: str) -> dict[str, Any]:
    """The fields of a ``RenderJob`` that depend on the style: ``provenance`` and ``files``.

    Args:
        style: as ``api.render`` takes it.
        options: ``features`` and ``style_weights``, where they are given.
        device: its name.
    """
    provenance = {
        "features": Path(str(options.get("features", "bundled"))).name,
        "styles": style_names(style),
        "style_weights": options.get("style_weights"),
        "device": device,
    }
    paths = [part for part in style_parts(style) if isinstance(part, (str, Path))]
    return {"provenance": provenance, "files": tuple(find_style(path) for path in paths)}


def refuse_path(image: Any, style: Any, function: str) -> None:
    """Explain that a path is not an image."""
    if isinstance(image, (str, Path)):
        swapped = " (or are image and style swapped?)" if is_image(style) else ""
        raise TypeError(
            f"{function} takes an image, not a path: use vidstyle.render for files, or open it "
            f"with PIL.Image.open{swapped}"
        )
    if isinstance(image, Style):
        raise TypeError("image is a vidstyle.Style: image and style seem to be swapped")


def check_paths(input: Any, style: Any, output: Any) -> None:
    """Check the kinds of input and output of ``api.render``, and that they are not swapped."""
    for name, value in (("input", input), ("output", output)):
        if is_image(value):
            raise TypeError(f"{name} is an image, and render works on files: use vidstyle.stylize")
        if not isinstance(value, (str, Path)) and not (name == "output" and value is None):
            raise TypeError(f"{name} must be a path, not {type(value).__name__}")
    check_not_swapped(input, style_parts(style))
