"""``vidstyle bench --temporal``: steadiness, faithfulness and promptness of the warm start, as a table and pictures."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..flow.clip_motion import with_motion
from ..flow.methods import FlowMethod
from ..flow.motion import Motion
from ..io.files import check_writable
from ..io.frame import Frame, fit
from ..io.images import write_image
from ..io.source import open_source
from ..metrics import gradient_energy
from ..ops.tensors import resize, to_image, to_tensor
from ..settings import PRESETS, Settings
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from ..stylizer.warm_start import LONG_TERM
from . import temporal_metrics
from .clips import Clip, changing_clip, known_motion_clips, noisy, object_scenes
from .results import Row, machine, row_text, table, write_results
from .runs import ReferenceFrame, StylizedRun, paint, paint_naively
from .textbook import REFERENCE_ITERATIONS

log = logging.getLogger(__name__)

SETTLED_FRAME = 6
"""Figures are taken from this frame on: by then the first frame no longer counts for much."""

NOISE_SETTLED_FRAME = 30

GAP_TARGETS = {4: "<= 3", 2: "<= 8"}
"""Steps per frame that every clip is painted with, and the objective gap (%) promised for them."""

CURVE = (1, 8, 16)
"""More numbers of steps for the clips of the curve: gap against flicker against time."""


@dataclass(frozen=True)
class TemporalOptions:
    """What to measure.

    Args:
        clip: a clip of one's own; None: the generated ones.
        size: width of the clips in px.
        frames: per clip.
        drift_frames: of the still clip.
        json, picture: where figures and flicker maps go; None: nowhere.
    """

    clip: Path | None = None
    size: int = 320
    frames: int = 16
    drift_frames: int = 600
    json: Path | None = None
    picture: Path | None = None


Picture = NDArray[np.uint8]


def temporal(bench: TemporalOptions, style: Style, flow: FlowMethod | None) -> list[Row]:
    """Measure, say each figure on stderr as it comes, print the table, and write what is asked for.

    Raises:
        InputError: the clip cannot be read.
        OutputError: a file cannot be written.
    """
    for path in (bench.json, bench.picture):
        if path:
            check_writable(path, overwrite=True)
    frames = _own_frames(bench) if bench.clip else []

    def note(rows: Sequence[Row], strips: Sequence[Picture]) -> None:
        """Keep the files up to date: a long measurement that is interrupted leaves what it has."""
        if bench.json:
            write_results(bench.json, rows, machine(style.features.device))
        if bench.picture and strips:
            write_image(bench.picture, np.vstack(strips))

    measuring = TemporalBench(style, bench, flow, note)
    if bench.clip:
        measuring.own_clip(bench.clip.name, frames)
    else:
        measuring.known_motion()
    print(table(measuring.rows))
    return measuring.rows


def _own_frames(bench: TemporalOptions) -> list[Frame]:
    with open_source(str(bench.clip)) as source:
        frames = list(islice(source, bench.frames))
    if len(frames) <= SETTLED_FRAME + 1:
        raise InputError(
            f"{bench.clip} has only {len(frames)} frames: give a longer clip, at least {SETTLED_FRAME + 2}"
        )
    return frames


class TemporalBench:
    """Paints clips in several ways and measures each. What is painted twice is painted once: first frames are kept.

    Args:
        style: what to paint like.
        bench: sizes and lengths.
        flow: how the motion that the stylizer is given is computed.
        note: called with all rows and picture strips after each new one.
    """

    def __init__(
        self,
        style: Style,
        bench: TemporalOptions,
        flow: FlowMethod | None,
        note: Callable[[Sequence[Row], Sequence[Picture]], None] = lambda rows, strips: None,
    ) -> None:
        self._style, self._bench, self._flow, self._note = style, bench, flow, note
        self._size = bench.size, bench.size // 2
        self._fresh: dict[tuple[bytes, Settings], tuple[dict[str, Tensor], float]] = {}
        self.rows: list[Row] = []
        self.strips: list[Picture] = []

    def known_motion(self) -> None:
        """All figures on the generated clips."""
        clips = {clip.name: clip for clip in known_motion_clips(self._size, self._bench.frames)}
        for name in ("object", "pan", "slow pan", "zoom and rotation", "light"):
            moves = name in ("pan", "slow pan", "zoom and rotation")
            self._moving(clips[name], moves, curve=name in ("object", "pan", "light"))
        self._scenes(object_scenes(self._size, self._bench.frames))
        self._shaken(clips["flash"])
        self._shaken(clips["fade"])
        self._cut(clips["cut"])
        self._noise()
        self._drift(self._bench.drift_frames)
        for name in ("pan", "object"):
            self._presets(clips[name])

    def own_clip(self, name: str, frames: Sequence[Frame]) -> None:
        """The figures that need no known motion; for flicker it is estimated by the flow method given."""
        pairs = self._pairs(Clip(name, list(frames), [], []), PRESETS["standard"])
        motions = [temporal_metrics.without_small_motion(motion) for _, motion in pairs]
        moving = [
            (m.flow.square().sum(1)[0] > 1).numpy() if m.flow is not None else np.ones((1, 1), bool)
            for m in motions
        ]
        self._moving(Clip(name, list(frames), motions, moving), moves=False, known=False)

    def _moving(self, clip: Clip, moves: bool, known: bool = True, curve: bool = False) -> None:
        """Flicker of one clip, and gap, energy, contrast and lag as means of three of its frames, at four steps and at two."""
        judged = self._judged(clip)
        last = judged[-1].number
        source = [self._content(frame) for frame in clip.frames]
        self._row(
            f"{clip.name}: flicker of the source",
            temporal_metrics.flicker(source, clip.motions, SETTLED_FRAME),
        )
        pair = [
            self._painted_fresh(clip.frames[number], PRESETS["standard"])
            for number in (last - 1, last)
        ]
        self._row(
            f"{clip.name}: flicker of fresh paintings, last two frames",
            temporal_metrics.flicker(pair, clip.motions[last - 1 :]),
        )
        self._row(
            f"{clip.name}: time of a fresh painting", self._fresh_seconds(clip.frames[last]), "s"
        )
        self._row(
            f"{clip.name}: objective gap of fresh paintings",
            _mean(frame.gap(frame.fresh) for frame in judged),
            "%",
        )
        for steps in (*GAP_TARGETS, *(CURVE if curve else ())):
            settings = replace(PRESETS["standard"], steps=steps)
            ours, naive = self._paint(clip, settings, steps), self._paint_naively(clip, settings)
            words = f"{clip.name}, {steps} steps"
            self._steadiness(words, clip, ours, naive, "<= 0.1" if moves else "<= 0.025")
            self._faithfulness(words, judged, ours, naive, GAP_TARGETS.get(steps, ""))
            wanted = (
                known and steps in GAP_TARGETS and clip.moving[last].all()
            )  # where little moves, many scenes tell
            self._row(f"{words}: lag", self._lag([clip], [ours]), "", ">= 0.95" if wanted else "")
            if steps == 4:
                self._strip(clip, ours, naive)

    def _scenes(self, clips: Sequence[Clip]) -> None:
        """The lag over several scenes: in one, where an edge is painted is as much chance as lag."""
        for steps in GAP_TARGETS:
            settings = replace(PRESETS["standard"], steps=steps)
            words = f"{clips[0].name} in {len(clips)} scenes, {steps} steps: lag"
            self._row(
                words,
                self._lag(clips, [self._paint(clip, settings, steps) for clip in clips]),
                "",
                ">= 0.95",
            )
            naive = [self._paint_naively(clip, settings) for clip in clips]
            self._row(f"{words}, previous picture, fresh Adam", self._lag(clips, naive))

    def _lag(self, clips: Sequence[Clip], painted: Sequence[StylizedRun]) -> float:
        """How well edges lie where the frames' are, in what moves, relative to fresh paintings; 1: nothing trails behind."""
        ours, fresh = [], []
        for clip, paintings in zip(clips, painted, strict=True):
            for number in _judged_numbers(clip):
                content = self._content(clip.frames[number]).cpu()
                size = content.shape[-1], content.shape[-2]
                moving = torch.from_numpy(
                    cv2.resize(clip.moving[number].astype(np.uint8), size) > 0
                )
                ours.append(
                    temporal_metrics.edge_alignment(paintings.pictures[number], content, moving)
                )
                fresh.append(
                    temporal_metrics.edge_alignment(
                        self._painted_fresh(clip.frames[number], PRESETS["standard"]),
                        content,
                        moving,
                    )
                )
        return _mean(ours) / _mean(fresh)

    def _judged(self, clip: Clip) -> list[ReferenceFrame]:
        """Those of ``_judged_numbers``."""
        judged = []
        for number in _judged_numbers(clip):
            content = self._content(clip.frames[number])
            objective = self._judging().objective(content)
            fresh = self._painted_fresh(clip.frames[number], PRESETS["standard"])
            log.debug(f"{clip.name}, frame {number}: {REFERENCE_ITERATIONS} iterations of L-BFGS")
            judged.append(
                ReferenceFrame(
                    number,
                    content,
                    objective,
                    fresh,
                    *temporal_metrics.reference_objective(objective, content),
                )
            )
        return judged

    def _steadiness(
        self, words: str, clip: Clip, ours: StylizedRun, naive: StylizedRun, target: str
    ) -> None:
        flicker, plain = (
            temporal_metrics.flicker(p.pictures, clip.motions, SETTLED_FRAME) for p in (ours, naive)
        )
        self._row(f"{words}: flicker", flicker)
        self._row(f"{words}: flicker, previous picture, fresh Adam", plain)
        self._row(
            f"{words}: flicker relative to previous picture, fresh Adam",
            flicker / plain,
            "",
            target,
        )
        self._row(f"{words}: median time per frame", float(np.median(ours.seconds)), "s")
        self._row(
            f"{words}: median time per frame, previous picture, fresh Adam",
            float(np.median(naive.seconds)),
            "s",
        )

    def _faithfulness(
        self,
        words: str,
        judged: Sequence[ReferenceFrame],
        ours: StylizedRun,
        naive: StylizedRun,
        target: str,
    ) -> None:
        pictures = [(frame, ours.pictures[frame.number]) for frame in judged]
        self._row(
            f"{words}: objective gap",
            _mean(frame.gap(picture) for frame, picture in pictures),
            "%",
            target,
        )
        shown = _mean(frame.gap_to_shown(picture) for frame, picture in pictures)
        self._row(f"{words}: the same against what L-BFGS' picture can show", shown, "%")
        fresh = _mean(
            100 * (frame.loss(picture) / frame.loss(frame.fresh) - 1) for frame, picture in pictures
        )
        self._row(f"{words}: the same against fresh paintings", fresh, "%")
        plain = _mean(frame.gap(naive.pictures[frame.number]) for frame in judged)
        self._row(f"{words}: objective gap, previous picture, fresh Adam", plain, "%")
        for name, figure in (
            ("gradient energy", gradient_energy),
            ("contrast", temporal_metrics.contrast),
        ):
            ratio = _mean(figure(picture) / figure(frame.fresh) for frame, picture in pictures)
            self._row(
                f"{words}: {name} relative to fresh", ratio, "", "0.9 to 1.1" if target else ""
            )

    def _presets(self, clip: Clip) -> None:
        """What each preset costs and gives, with the steps it chooses itself."""
        last = len(clip.frames) - 1
        objective = self._judging().objective(self._content(clip.frames[last]))
        for name, limit in (("draft", "<= 2"), ("standard", "<= 4"), ("final", "")):
            painted = self._paint(clip, PRESETS[name])
            words = f"preset {name}, {clip.name}"
            self._row(f"{words}: mean steps per frame", float(np.mean(painted.steps)), "", limit)
            self._row(f"{words}: median time per frame", float(np.median(painted.seconds)), "s")
            self._row(
                f"{words}: flicker",
                temporal_metrics.flicker(painted.pictures, clip.motions, SETTLED_FRAME),
            )
            with torch.no_grad():
                reached = objective(
                    painted.pictures[last].to(self._style.features.device)
                ).total.item()
            self._row(f"{words}: objective of the last frame", reached)

    def _shaken(self, clip: Clip) -> None:
        """A flash or a fade must leave no trace: after it the painting is as far from the one before as if it had not been."""
        painted = self._paint(clip, PRESETS["standard"])
        before, after = painted.pictures[1], painted.pictures[-1]
        self._row(
            f"{clip.name}: last painting against the one before it, root mean square",
            (after - before).square().mean().sqrt().item() * 255,
            "levels",
        )
        fresh = self._painted_fresh(clip.frames[-1], PRESETS["standard"])
        self._row(
            f"{clip.name}: mean luminance of the last painting relative to fresh",
            (after.mean() / fresh.mean()).item(),
            "",
            "0.9 to 1.1",
        )

    def _cut(self, clip: Clip) -> None:
        painted = self._paint(clip, PRESETS["standard"])
        cut = [number for number, motion in enumerate(clip.motions) if motion.cut][1]
        fresh = self._painted_fresh(clip.frames[cut], PRESETS["standard"])
        self._row(
            "cut: first frame's mean difference from a fresh start",
            (painted.pictures[cut] - fresh).abs().mean().item() * 255,
            "levels",
            "<= 2",
        )

    def _noise(self) -> None:
        clip = changing_clip("noise", self._size, NOISE_SETTLED_FRAME + 10, noisy(4))
        painted = self._paint(clip, PRESETS["standard"])
        source = temporal_metrics.temporal_noise(
            [self._content(frame) for frame in clip.frames], NOISE_SETTLED_FRAME
        )
        boiling = temporal_metrics.temporal_noise(painted.pictures, NOISE_SETTLED_FRAME)
        self._row(
            "noise: frame-to-frame change relative to the source's", boiling / source, "", "<= 0.2"
        )
        self._row("noise: mean steps per frame", float(np.mean(painted.steps)))

    def _drift(self, count: int) -> None:
        clip = changing_clip("still", self._size, 1, lambda picture, number: picture)
        clip = Clip("still", clip.frames * count, clip.motions * count, clip.moving * count)
        painted = self._paint(clip, PRESETS["standard"])
        self._row(
            f"still: drift of mean luminance over {count} frames",
            100 * temporal_metrics.drift(painted.pictures),
            "%",
            "<= 1",
        )
        self._row("still: mean steps per frame", float(np.mean(painted.steps)))

    def _judging(self) -> Stylizer:
        """Paintings are judged in float32, however they were made."""
        return self._painter(replace(PRESETS["standard"], precision="fp32"))

    def _painter(self, settings: Settings) -> Stylizer:
        return Stylizer(
            self._style.features, self._style, replace(settings, working_size=self._bench.size)
        )

    def _row(self, figure: str, value: float, unit: str = "", target: str = "") -> None:
        self.rows.append(Row(figure, value, unit, target))
        log.info("%s", row_text(self.rows[-1]))
        self._note(self.rows, self.strips)

    def _pairs(self, clip: Clip, settings: Settings) -> list[tuple[Frame, Motion]]:
        size_px = self._painter(settings).flow_px(clip.frames[0].size)
        return list(
            with_motion(
                clip.frames,
                self._flow,
                LONG_TERM if settings.long_term else (),
                size_px=lambda: size_px,
            )
        )

    def _paint(self, clip: Clip, settings: Settings, steps: int | None = None) -> StylizedRun:
        log.debug(
            f"{clip.name}: painting {len(clip.frames)} frames, {steps or f'at most {settings.steps}'} steps each"
        )
        stylizer = self._painter(settings)
        stylizer.load_state(self._fresh_state(clip.frames[0], settings)[0])
        rest = paint(stylizer, self._pairs(clip, settings)[1:], steps)
        return replace(
            rest, pictures=[self._painted_fresh(clip.frames[0], settings), *rest.pictures]
        )

    def _paint_naively(self, clip: Clip, settings: Settings) -> StylizedRun:
        log.debug(f"{clip.name}: previous picture, fresh Adam, {settings.steps} steps each")
        first = self._painted_fresh(clip.frames[0], settings)
        contents = [self._content(frame) for frame in clip.frames[1:]]
        rest = paint_naively(self._painter(settings), first, contents, settings.steps)
        return replace(rest, pictures=[first, *rest.pictures])

    def _painted_fresh(self, frame: Frame, settings: Settings) -> Tensor:
        """The painting of a frame on its own."""
        return self._fresh_state(frame, settings)[0]["picture"]

    def _fresh_seconds(self, frame: Frame) -> float:
        return self._fresh_state(frame, PRESETS["standard"])[1]

    def _fresh_state(self, frame: Frame, settings: Settings) -> tuple[dict[str, Tensor], float]:
        """What the stylizer remembers of a first frame, and the seconds it took."""
        key = frame.image.tobytes(), replace(settings, steps=1, flow="none", long_term=False)
        if key not in self._fresh:
            log.debug(f"painting a first frame, {settings.initial_steps} steps")
            stylizer = self._painter(settings)
            began = time.perf_counter()
            stylizer(frame)
            self._fresh[key] = stylizer.state(), time.perf_counter() - began
        return self._fresh[key]

    def _content(self, frame: Frame) -> Tensor:
        size = self._painter(PRESETS["standard"]).working_size(frame.size)
        return resize(to_tensor(frame.image, self._style.features.device), size)

    def _strip(self, clip: Clip, ours: StylizedRun, naive: StylizedRun) -> None:
        """Frame, both paintings and both flicker maps side by side, the maps on one scale."""
        last = len(clip.frames) - 1
        maps = [
            temporal_metrics.flicker_map(p.pictures[last], p.pictures[last - 1], clip.motions[last])
            for p in (naive, ours)
        ]
        pictures: list[Any] = [
            to_image(p)
            for p in (self._content(clip.frames[last]), naive.pictures[last], ours.pictures[last])
        ]
        for error in maps:  # the root, so that what is ten times weaker can still be seen
            level = (error.sqrt() / 0.25).clamp(0, 1).mul(255).to(torch.uint8).numpy()
            pictures.append(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1])
        height, width = pictures[0].shape[:2]
        shown = [cv2.resize(picture, fit((width, height), 320)) for picture in pictures]
        self.strips.append(np.hstack(shown).astype(np.uint8))
        self._note(self.rows, self.strips)


def _judged_numbers(clip: Clip) -> list[int]:
    """The first, the middle and the last of the frames that figures are taken from."""
    last = len(clip.frames) - 1
    return sorted({SETTLED_FRAME, (SETTLED_FRAME + last + 1) // 2, last})


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
