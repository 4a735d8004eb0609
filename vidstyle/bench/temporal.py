"""``vidstyle bench --temporal``: temporal consistency and fidelity of warm starts, as a table.

``temporal_metrics`` defines the metrics. They are measured on generated clips of known motion, at
fixed numbers of steps per frame, with the naive baseline of ``runs.stylize_naively`` beside them;
or, with estimated motion, on a clip of the user's.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from ..errors import InputError
from ..flow.methods import FlowMethod
from ..io.files import check_writable
from ..io.frame import Frame, Image
from ..io.images import write_image
from ..io.source import open_source
from ..metrics import gradient_energy
from ..settings import PRESETS
from ..stylizer.style import Style
from . import temporal_metrics
from .clips import Clip, known_motion_clips, object_scenes
from .contact_strip import contact_strip
from .new_regions import NewRegionsBench
from .results import Row, machine, row_text, table, write_results
from .runs import ClipRunner, ReferenceFrame, StylizedRun
from .sintel import SintelBench
from .still_scenes import measure_drift, measure_noise

log = logging.getLogger(__name__)

FIRST_MEASURED_FRAME = 6
"""Index of the first frame that figures are taken from; the cold start of frame 0 has faded."""

SCENES = 4
"""Number of clips that lag is measured on."""

GAP_TARGETS = {4: "<= 3", 2: "<= 8"}
"""Steps per frame of every clip -> target of the objective gap, per cent."""

CURVE_STEPS = (1, 8, 16)
"""Further numbers of steps per frame, for the curves of gap against flicker."""

STRIP_STEPS = 4
"""Steps per frame of the run that contact strips show."""

NAIVE = "previous frame, fresh Adam"


@dataclass(frozen=True)
class TemporalOptions:
    """Options of the benchmark of temporal consistency.

    Args:
        clip: a clip of the user's; None: the generated clips.
        size: width of the generated clips and working size, px.
        frames: number of frames of each clip.
        drift_frames: number of frames of the still clip.
        json, picture: files for the figures and the contact strips; None: no file.
        sintel: MPI Sintel's training folder; None: the generated clips.
        regions: measure only what comes into view and what moves.
    """

    clip: Path | None = None
    size: int = 320
    frames: int = 16
    drift_frames: int = 600
    json: Path | None = None
    picture: Path | None = None
    regions: bool = False
    sintel: Path | None = None


def temporal(options: TemporalOptions, style: Style, flow: FlowMethod | None) -> list[Row]:
    """Measure, log each figure, print the table to standard output, and write the files.

    Raises:
        InputError: the clip cannot be read, or is too short.
        OutputError: a file cannot be written.
    """
    for path in (options.json, options.picture):
        if path:
            check_writable(path, overwrite=True)
    frames = _read_frames(options.clip, options.frames) if options.clip else []

    made_on = machine(style.features.device)

    # Both are called after each new part, so that an interrupted measurement leaves its figures.
    def write_rows(rows: Sequence[Row]) -> None:
        if options.json:
            write_results(options.json, rows, made_on)

    def write_strips(strips: Sequence[Image]) -> None:
        if options.picture:
            write_image(options.picture, np.vstack(strips).astype(np.uint8))

    bench = TemporalBench(style, options, flow, write_rows, write_strips)
    if options.sintel:
        bench.measure_sintel(options.sintel)
    elif options.regions:
        bench.measure_new_regions()
    elif options.clip:
        bench.measure_clip(options.clip.name, frames)
    else:
        bench.measure_known_motion()
    print(table(bench.rows))
    return bench.rows


def _read_frames(clip: Path, count: int) -> list[Frame]:
    with open_source(str(clip)) as source:
        frames = list(islice(source, count))
    least = FIRST_MEASURED_FRAME + 2
    if len(frames) < least:
        raise InputError(f"{clip} has only {len(frames)} frames: give a clip of {least} or more")
    return frames


class TemporalBench:
    """Stylises clips in several ways and measures each.

    Args:
        style: with its features.
        options: sizes and lengths of the clips.
        flow: optical flow method of the stylizer; None: no flow.
        on_row: called with all rows after each new one.
        on_strip: called with all contact strips after each new one.
    """

    def __init__(
        self,
        style: Style,
        options: TemporalOptions,
        flow: FlowMethod | None,
        on_row: Callable[[Sequence[Row]], None],
        on_strip: Callable[[Sequence[Image]], None],
    ) -> None:
        self._options, self._on_row, self._on_strip = options, on_row, on_strip
        self._runner, self._flow = ClipRunner(style, options.size, flow), flow
        self.rows: list[Row] = []
        self.strips: list[Image] = []

    def measure_known_motion(self) -> None:
        """Measure all figures on the generated clips."""
        size, count = (self._options.size, self._options.size // 2), self._options.frames
        clips = {clip.name: clip for clip in known_motion_clips(size, count)}
        for name in ("object", "pan", "slow pan", "zoom and rotation", "light"):
            camera_moves = name in ("pan", "slow pan", "zoom and rotation")
            self._measure(clips[name], camera_moves, curve=name in ("object", "pan", "light"))
        self._measure_scenes(object_scenes(size, count, SCENES))
        self._measure_recovery(clips["flash"])
        self._measure_recovery(clips["fade"])
        self._measure_cut(clips["cut"])
        measure_noise(self._runner, self._row, size)
        measure_drift(self._runner, self._row, size, self._options.drift_frames)
        for name in ("pan", "object"):
            self._measure_presets(clips[name])
        self.measure_new_regions()

    def measure_new_regions(self) -> None:
        """Measure what comes into view and what moves, on generated clips."""
        size = self._options.size, self._options.size // 2
        NewRegionsBench(self._runner, self._row, size, self._options.frames).measure()

    def measure_sintel(self, folder: Path) -> None:
        """Measure the temporal error on MPI Sintel."""
        SintelBench(self._runner, self._row, folder, self._options.frames, self._flow).measure()

    def measure_clip(self, name: str, frames: Sequence[Frame]) -> None:
        """Measure a clip of unknown motion; the flow method estimates the motion for flicker."""
        clip = Clip(name, list(frames), [], [])
        pairs = self._runner.with_estimated_motion(clip, PRESETS["standard"])
        motions = [temporal_metrics.without_small_motion(motion) for _, motion in pairs]
        moving = [
            (m.flow.square().sum(1)[0] > 1).numpy() if m.flow is not None else np.ones((1, 1), bool)
            for m in motions
        ]
        clip = replace(clip, motions=motions, moving=moving)
        self._measure(clip, camera_moves=False, known=False)

    def _measure(
        self, clip: Clip, camera_moves: bool, known: bool = True, curve: bool = False
    ) -> None:
        """Measure one clip at several numbers of steps.

        Gap, gradient energy, contrast and lag are means over three frames.

        Args:
            clip: with motions.
            camera_moves: a weaker target of flicker holds if the camera moves.
            known: the motions are exact; lag has a target then.
            curve: measure ``CURVE_STEPS`` too.
        """
        references = [self._runner.reference_frame(clip, n) for n in _reference_numbers(clip)]
        self._measure_references(clip, references)
        for steps in (*GAP_TARGETS, *(CURVE_STEPS if curve else ())):
            settings = replace(PRESETS["standard"], steps=steps)
            own = self._runner.run(clip, settings, steps)
            naive = self._runner.run_naively(clip, settings)
            words = f"{clip.name}, {steps} steps"
            self._measure_flicker(words, clip, own, naive, "<= 0.1" if camera_moves else "<= 0.025")
            self._measure_fidelity(words, references, own, naive, GAP_TARGETS.get(steps, ""))
            # Where little moves, one scene's lag is chance: _measure_scenes has the target.
            all_moves = bool(clip.moving[references[-1].number].all())
            target = ">= 0.95" if known and steps in GAP_TARGETS and all_moves else ""
            self._row(f"{words}: lag", self._lag([clip], [own]), "", target)
            if steps == STRIP_STEPS:
                self._add_strip(clip, own, naive)

    def _measure_references(self, clip: Clip, references: Sequence[ReferenceFrame]) -> None:
        """Flicker of the source, and flicker, time and gap of cold starts."""
        last = references[-1].number
        source = [self._runner.content(frame) for frame in clip.frames]
        flicker = temporal_metrics.flicker(source, clip.motions, FIRST_MEASURED_FRAME)
        self._row(f"{clip.name}: flicker of the source", flicker)
        pair = [self._runner.cold_start(clip.frames[number]) for number in (last - 1, last)]
        flicker = temporal_metrics.flicker(pair, clip.motions[last - 1 :])
        self._row(f"{clip.name}: flicker of cold starts, last two frames", flicker)
        seconds = self._runner.cold_start_seconds(clip.frames[last])
        self._row(f"{clip.name}: time of a cold start", seconds, "s")
        gap = _mean(frame.gap(frame.cold_start) for frame in references)
        self._row(f"{clip.name}: objective gap of cold starts", gap, "%")

    def _measure_flicker(
        self, words: str, clip: Clip, own: StylizedRun, naive: StylizedRun, target: str
    ) -> None:
        """Flicker and time per frame, own and naive."""
        own_flicker, naive_flicker = (
            temporal_metrics.flicker(run.images, clip.motions, FIRST_MEASURED_FRAME)
            for run in (own, naive)
        )
        self._row(f"{words}: flicker", own_flicker)
        self._row(f"{words}: flicker, {NAIVE}", naive_flicker)
        ratio = own_flicker / naive_flicker
        self._row(f"{words}: flicker relative to {NAIVE}", ratio, "", target)
        for name, run in (("", own), (f", {NAIVE}", naive)):
            self._row(f"{words}: median time per frame{name}", float(np.median(run.seconds)), "s")

    def _measure_fidelity(
        self,
        words: str,
        references: Sequence[ReferenceFrame],
        own: StylizedRun,
        naive: StylizedRun,
        target: str,
    ) -> None:
        """Objective gaps, gradient energy and contrast."""
        pairs = [(frame, own.images[frame.number]) for frame in references]
        gap = _mean(frame.gap(image) for frame, image in pairs)
        self._row(f"{words}: objective gap", gap, "%", target)
        gap = _mean(frame.gap_to_clamped(image) for frame, image in pairs)
        self._row(f"{words}: objective gap to clamped L-BFGS", gap, "%")
        gap = _mean(frame.gap_to_cold_start(image) for frame, image in pairs)
        self._row(f"{words}: objective gap to cold starts", gap, "%")
        gap = _mean(frame.gap(naive.images[frame.number]) for frame in references)
        self._row(f"{words}: objective gap, {NAIVE}", gap, "%")
        for name, metric in (
            ("gradient energy", gradient_energy),
            ("contrast", temporal_metrics.contrast),
        ):
            ratio = _mean(metric(image) / metric(frame.cold_start) for frame, image in pairs)
            range_ = "0.9 to 1.1" if target else ""
            self._row(f"{words}: {name} relative to cold starts", ratio, "", range_)

    def _measure_scenes(self, clips: Sequence[Clip]) -> None:
        """Lag over several scenes: in a single one it depends on chance as much."""
        for steps in GAP_TARGETS:
            settings = replace(PRESETS["standard"], steps=steps)
            words = f"{clips[0].name} in {len(clips)} scenes, {steps} steps: lag"
            runs = [self._runner.run(clip, settings, steps) for clip in clips]
            self._row(words, self._lag(clips, runs), "", ">= 0.95")
            naive = [self._runner.run_naively(clip, settings) for clip in clips]
            self._row(f"{words}, {NAIVE}", self._lag(clips, naive))

    def _lag(self, clips: Sequence[Clip], runs: Sequence[StylizedRun]) -> float:
        """Edge alignment in the moving pixels relative to that of cold starts; 1: no lag."""
        own, cold = [], []
        for clip, run in zip(clips, runs, strict=True):
            for number in _reference_numbers(clip):
                content = self._runner.content(clip.frames[number]).cpu()
                size = content.shape[-1], content.shape[-2]
                mask = cv2.resize(clip.moving[number].astype(np.uint8), size)
                moving = torch.from_numpy(mask > 0)
                cold_start = self._runner.cold_start(clip.frames[number])
                own.append(temporal_metrics.edge_alignment(run.images[number], content, moving))
                cold.append(temporal_metrics.edge_alignment(cold_start, content, moving))
        return _mean(own) / _mean(cold)

    def _measure_presets(self, clip: Clip) -> None:
        """Time, flicker and objective of each preset, with the steps that the stylizer chooses."""
        objective = self._runner.objective(self._runner.content(clip.frames[-1]))
        for name, limit in (("draft", "<= 2"), ("standard", "<= 4"), ("final", "")):
            run = self._runner.run(clip, PRESETS[name])
            words = f"preset {name}, {clip.name}"
            self._row(f"{words}: mean steps per frame", float(np.mean(run.steps)), "", limit)
            self._row(f"{words}: median time per frame", float(np.median(run.seconds)), "s")
            flicker = temporal_metrics.flicker(run.images, clip.motions, FIRST_MEASURED_FRAME)
            self._row(f"{words}: flicker", flicker)
            with torch.no_grad():
                loss = objective(run.images[-1].to(self._runner.device))["total"].item()
            self._row(f"{words}: objective of the last frame", loss)

    def _measure_recovery(self, clip: Clip) -> None:
        """Difference of the frames before and after a flash or a fade, and luminance after it."""
        run = self._runner.run(clip, PRESETS["standard"])
        before, after = run.images[1], run.images[-1]
        rms = (after - before).square().mean().sqrt().item() * 255
        self._row(f"{clip.name}: RMS difference of the frames before and after", rms, "levels")
        ratio = (after.mean() / self._runner.cold_start(clip.frames[-1]).mean()).item()
        words = f"{clip.name}: mean luminance of the last frame relative to a cold start"
        self._row(words, ratio, "", "0.9 to 1.1")

    def _measure_cut(self, clip: Clip) -> None:
        """Difference of the first frame after a cut from a cold start."""
        run = self._runner.run(clip, PRESETS["standard"])
        cut = [number for number, motion in enumerate(clip.motions) if motion.cut][1]
        difference = (run.images[cut] - self._runner.cold_start(clip.frames[cut])).abs().mean()
        words = "cut: mean difference of the first frame from a cold start"
        self._row(words, difference.item() * 255, "levels", "<= 2")

    def _row(self, figure: str, value: float, unit: str = "", target: str = "") -> None:
        self.rows.append(Row(figure, value, unit, target))
        log.info("%s", row_text(self.rows[-1]))
        self._on_row(self.rows)

    def _add_strip(self, clip: Clip, own: StylizedRun, naive: StylizedRun) -> None:
        content = self._runner.content(clip.frames[-1])
        self.strips.append(contact_strip(content, clip.motions[-1], own, naive))
        self._on_strip(self.strips)


def _reference_numbers(clip: Clip) -> list[int]:
    """Indices of the first, the middle and the last of the measured frames."""
    last = len(clip.frames) - 1
    return sorted({FIRST_MEASURED_FRAME, (FIRST_MEASURED_FRAME + last + 1) // 2, last})


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
