"""One input to stylise, and how its output is written."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .canvas import Canvas
from .errors import InputError, OutputError
from .face_choices import KEEP
from .face_models import load_face_model
from .faces import FaceMasks
from .flow.methods import FlowMethod
from .io.files import PIPE, check_readable, fingerprint, without_secrets
from .io.frame import Frame
from .io.image_names import existing_numbers, image_path, is_image, is_numbered, unnumbered_stem
from .io.lut import Lut, on_second_half
from .io.mapped_source import mapped
from .io.mask import with_masks, with_regions
from .io.mask_file import MaskFile
from .io.outputs import check_apart
from .io.sink import open_sink
from .io.sink_base import Encoding, FileSink
from .io.source import ImageSource, Source, open_source
from .io.source_times import with_source_times
from .io.stream_info import VideoInfo
from .keyframes import KeyframeEntry
from .painted_keyframes import PaintedKeyframe, with_painted_keyframes
from .person import PersonMasks, load_person_model
from .progress import Listener, ProgressDisplay
from .regions import RegionEntry
from .settings import Settings
from .stylizer.stylizer import Stylizer
from .trace import Trace


@dataclass(frozen=True)
class RenderJob:
    """One input to stylise, and the options of its output.

    Args:
        input: a file, an image sequence, an address, or ``-``.
        output: a file, an image sequence, or ``-``.
        start: of the part of the clip to stylise, in seconds.
        stop: end of that part, in seconds.
        rate: frames per second of an image sequence.
        sdr: convert HDR to standard dynamic range, as is always done for images and animations.
        overwrite: replace an existing output, and the files of an unfinished run.
        resume: resume an unfinished run of the same job.
        mask: where frames are stylised; None: everywhere.
        encoding: how the output is encoded. The settings are added to it as a comment.
        trace: file to write the losses to; None: no file.
        quiet: show no progress.
        batch_display: progress display of the batch that the job belongs to; None: no batch.
        listener: is called with every ``progress.Event`` of the job.
        flow: optical flow method; None: as the settings say.
        provenance: names of the features and styles, style weights and device, which the output's
            metadata record.
        keyframes: changes of style and settings, which the stylizer's timeline has too.
        regions: parts of the frames with styles of their own, which the stylizer has too.
        painted: painted keyframes, in the order of their times.
        faces: one of ``FACES_CHOICES``: whether eyes and mouths keep more of the content.
        face_model: finds faces, see ``load_face_model``; None: the bundled one.
        look, look_before: LUTs that change the colours of stylised frames, and of frames before.
        canvas: width and height of the output; None: as the settings say.
        person_model: finds people for the masks ``person`` and ``background``; None: torchvision's.
        files: files of styles and weights. An unfinished run is resumed only if none has changed.
    """

    input: str | Path
    output: str | Path
    start: Fraction | None = None
    stop: Fraction | None = None
    rate: Fraction | None = None
    sdr: bool = False
    overwrite: bool = False
    resume: bool = False
    encoding: Encoding = Encoding()
    trace: Path | None = None
    quiet: bool = False
    batch_display: ProgressDisplay | None = None
    listener: Listener | None = None
    flow: FlowMethod | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str | Path, ...] = ()
    mask: MaskFile | None = None
    keyframes: tuple[KeyframeEntry, ...] = ()
    regions: tuple[RegionEntry, ...] = ()
    painted: tuple[PaintedKeyframe, ...] = ()
    person_model: Path | None = None
    faces: str = KEEP
    face_model: Path | None = None
    look: Path | None = None
    look_before: Path | None = None
    canvas: Canvas | None = None

    @property
    def label(self) -> str:
        """The input's name for messages and files: an address without password and query."""
        return without_secrets(str(self.input))

    @property
    def inputs(self) -> tuple[str | Path, ...]:
        """The names of all that the job reads: the input, styles and weights, masks, paintings."""
        later = [path for keyframe in self.keyframes for path in keyframe.styles]
        styles = [region.style for region in self.regions if region.style]
        masks = [*([self.mask] if self.mask else []), *(region.mask for region in self.regions)]
        paintings = [keyframe.path for keyframe in self.painted]
        others = dict.fromkeys([*later, *styles, *(mask.path for mask in masks), *paintings])
        single = self.person_model, self.face_model, self.look, self.look_before
        return (self.input, *self.files, *others, *(path for path in single if path))

    def absolute(self) -> "RenderJob":
        """The same job with masks and paintings by their absolute paths, for other processes."""
        return replace(
            self,
            mask=self.mask.absolute() if self.mask else None,
            regions=tuple(region.absolute() for region in self.regions),
            painted=tuple(keyframe.absolute() for keyframe in self.painted),
            person_model=self.person_model and self.person_model.absolute(),
            face_model=self.face_model and self.face_model.absolute(),
            look=self.look and self.look.absolute(),
            look_before=self.look_before and self.look_before.absolute(),
        )

    def open_source(self, start: Fraction | None = None) -> Source:
        """Open the part of the input that is to be stylised.

        Args:
            start: begin there instead, in seconds from the start of the file's timestamps.

        Raises:
            InputError: it cannot be read.
        """
        begin = self.start if start is None else start
        if self.look:
            Lut(self.look)  # refused before the work begins
        if self.painted and str(self.input) == PIPE:
            raise InputError(
                "painted keyframes need a clip that can be read twice: save standard input to a "
                "file, and name that",
                "keyframe",
            )
        source = self._open_part(begin, self.stop)
        try:
            for wrap in self._wrappers(source):
                source = wrap(source)
        except BaseException:
            source.close()
            raise
        return source

    def _wrappers(self, source: Source) -> Iterator[Callable[[Source], Source]]:
        """What is wrapped around the source, in this order: LUT, masks, times, paintings, faces,
        and the shape of the canvas."""
        if self.look_before:
            yield partial(mapped, change=Lut(self.look_before))
        offset = source.format.offset
        if self.regions:
            masks = [region.mask for region in self.regions]
            yield partial(with_regions, masks=masks, offset=offset, find_people=self._find_people)
        if self.mask:
            yield partial(with_masks, mask=self.mask, offset=offset, find_people=self._find_people)
        times = [keyframe.time for keyframe in self.keyframes]
        if times := times + [keyframe.time for keyframe in self.painted]:
            yield partial(with_source_times, offset=offset, keyframes=times)
        if self.painted:
            others = self.painted, self._open_timed, self.flow
            yield lambda source: with_painted_keyframes(source, *others)
        if self.faces == KEEP:
            still = isinstance(source, ImageSource)
            faces = FaceMasks(load_face_model(self.face_model, still))
            yield lambda source: mapped(source, faces.applied, faces)
        if self.canvas:
            yield self.canvas.rotated(source.format.rotation).around

    def prepare(self, stylizer: Stylizer, source: VideoInfo) -> None:
        """Give a stylizer the layout of the output of a source, and what finishes frames.

        Raises:
            InputError: a LUT cannot be read.
        """
        stylizer.settings = self.layout(stylizer.settings, source)
        steps: list[Callable[[Frame], Frame]] = [Lut(self.look)] if self.look else []
        if steps and stylizer.settings.compare != "no":
            axis = 1 if stylizer.settings.compare == "beside" else 0
            steps = [partial(on_second_half, steps[0], axis)]
        if self.canvas:
            steps.append(self.canvas.rotated(source.rotation).finished)
        stylizer.finish = partial(_finished, tuple(steps))

    def layout(self, settings: Settings, source: VideoInfo) -> Settings:
        """The settings, with the size of the output, and with ``compare`` below instead of beside
        where players rotate the clip by 90 degrees.

        Raises:
            ValueError: ``compare`` with a canvas.
        """
        if self.canvas:
            if settings.compare != "no":
                raise ValueError("compare cannot be used with a width and height: leave one out")
            canvas = self.canvas.rotated(source.rotation)
            settings = replace(settings, size=canvas.output_px(source.size))
        beside = settings.compare == "beside" and source.rotation % 180
        return replace(settings, compare="below") if beside else settings

    def _find_people(self, label: str) -> PersonMasks:
        """See ``load_person_model``."""
        return PersonMasks(load_person_model(self.person_model), label)

    def _open_part(self, start: Fraction | None, stop: Fraction | None) -> Source:
        """Open a part of the input, without masks, regions and paintings."""
        output = str(self.output)
        # These kinds of output store neither HDR nor a rotation, and a pipe no rotation.
        plain = is_image(output) or output.lower().endswith(".gif")
        rotated = plain or output == PIPE
        return open_source(self.input, start, stop, self.rate, self.sdr or plain, rotated)

    def _open_timed(self, start: Fraction, stop: Fraction) -> Source:
        """The same; its frames have ``Frame.source_time``."""
        part = self._open_part(start, stop)
        return with_source_times(part, part.format.offset, ())

    def check_apart(self) -> None:
        """Check that neither the output nor the trace would replace an input.

        Raises:
            OutputError: one of them would.
        """
        check_apart([self.output, *([self.trace] if self.trace else [])], self.inputs)

    def open_sink(self, source: Source, settings: Settings) -> FileSink:
        """Open the output, or resume it.

        Raises:
            OutputError: see ``io.sink.open_sink`` and ``check_apart``.
        """
        self.check_apart()
        encoding, identity = self.tagged_encoding(settings), self.identity(settings)
        return open_sink(self.output, source, self.overwrite, encoding, identity, self.resume)

    def tagged_encoding(self, settings: Settings) -> Encoding:
        """The encoding, with the recipe as the comment of the output."""
        recipe = json.dumps(self._recipe(settings))
        return replace(self.encoding, comment=f"vidstyle {__version__} {recipe}")

    def identity(self, settings: Settings) -> dict[str, Any]:
        """What an unfinished run must have in common with a run that resumes it."""
        recipe = self._recipe(settings)
        return {**recipe.pop("settings"), **recipe, **self._identity_of_inputs()}

    def open_trace(self) -> Trace | None:
        """A collector of the losses, or None. A resumed run replaces the trace of the unfinished
        run.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        return Trace(self.trace, self.overwrite or self.resume) if self.trace else None

    def _recipe(self, settings: Settings) -> dict[str, Any]:
        """Features, styles, part and settings, as written to the output's metadata."""
        part = {
            "start": str(self.start or 0),
            "stop": str(self.stop) if self.stop is not None else None,
        }
        changes: dict[str, Any] = {}
        if self.keyframes:
            changes["keyframes"] = [keyframe.recipe() for keyframe in self.keyframes]
        if self.regions:
            changes["regions"] = [region.recipe() for region in self.regions]
        if self.painted:
            changes["painted"] = [keyframe.recipe() for keyframe in self.painted]
        for name, path in (("look", self.look), ("look_before", self.look_before)):
            if path:
                changes[name] = path.name
        return {**self.provenance, **changes, **part, "settings": asdict(settings)}

    def _identity_of_inputs(self) -> dict[str, Any]:
        """Fingerprints of the files, and the versions that a result depends on."""
        files = [name for name in self.inputs if Path(name).is_file()]
        for pattern in map(Path, filter(is_numbered, self.inputs)):
            files += [image_path(pattern, number) for number in existing_numbers(pattern)]
        contents = {f"contents of {name}": fingerprint(check_readable(name)) for name in files}
        environment = {
            "version": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        return {
            "input": self.label,
            "rate": str(self.rate),
            "sdr": self.sdr,
            "mask": str(self.mask) if self.mask else None,
            "keyframes": str(self.keyframes) if self.keyframes else None,
            "regions": str(self.regions) if self.regions else None,
            "painted": str(self.painted) if self.painted else None,
            "canvas": str(self.canvas) if self.canvas else None,
            "models": [str(path) for path in (self.person_model, self.face_model)],
            "faces": self.faces,
            "looks": [str(path) if path else None for path in (self.look, self.look_before)],
            **contents,
            **environment,
        }


def check_kinds(job: RenderJob, source: Source) -> None:
    """Check that an image is written to an image file and a clip to a video file.

    Raises:
        OutputError: it is not; the message names a file that would do.
    """
    still, output = isinstance(source, ImageSource), Path(job.output)
    image_file = is_image(output) and not is_numbered(output)
    if still and not image_file and str(output) != PIPE:
        remedy = f"write it to an image file such as {unnumbered_stem(output)}.png"
        raise OutputError(f"{job.label} is an image: {remedy}")
    if image_file and not still and output.suffix.lower() != ".webp":
        video = output.with_suffix(".mp4").name
        sequence = output.with_name(f"{output.stem}_%05d{output.suffix}").name
        raise OutputError(
            f"{job.label} is a clip: write it to a video file such as {video}, the image sequence "
            f"{sequence}, or write one frame with preview=TIME",
            "preview",
        )


def _finished(steps: tuple[Callable[[Frame], Frame], ...], frame: Frame) -> Frame:
    for step in steps:
        frame = step(frame)
    return frame
