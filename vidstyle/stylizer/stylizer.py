"""The painter: turns frames into stylised frames, and is the only thing here that remembers anything."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..features.extractor import MIN_SIDE_PX, Features
from ..flow.methods import MAX_FLOW_SIDE_PX, MIN_FLOW_SIDE_PX
from ..flow.motion import Motion
from ..io.frame import Frame, fit
from ..losses.objective import ContentTarget, Losses, Objective, Weights
from ..ops.color import keep_colors, match_color_statistics
from ..ops.tensors import alpha_of, resize, to_image, to_tensor
from ..optim.cuda_graph import GraphedFunction
from ..optim.optimizers import FAST_LR_DECAY, AdamState, OptimResult, StepSize, adam, lbfgs
from ..optim.runners import PreparedRunner, graphed, make_step_runner
from ..runtime.device import choose_precision, keep_freed_memory, out_of_memory_named
from ..runtime.interrupts import check
from ..runtime.openmp import spin_control
from ..settings import Settings
from .frame_setup import StyleContext, frame_targets, prepare_frame
from .memory_check import Sizes, check_memory
from .style import Style
from .warm_start import LONG_TERM, StylizerState, step_budget

log = logging.getLogger(__name__)

PYRAMID_RATIO = 0.6
"""Size of a coarse level relative to the next finer one."""

REMATCH_STEPS = 10
"""Steps of a fresh painting after which its spots are compared with the style's anew."""

MOMENT_RETENTION = 0.1
"""How much of its past the optimiser keeps when it is loosened: ten steps of hundreds."""

FULL_RATE_STEPS = 40
"""Steps at its full size until a painting, fresh, loosened or resized, begins to settle."""


@dataclass(frozen=True)
class Iteration:
    """Losses one iteration started from, at a picture of ``size`` (width, height) px; only the total is weighted."""

    size: tuple[int, int]
    total: float
    content: float
    style: float
    temporal: float = 0.0


class Stylizer:
    """Paints frames by optimising their pixels, each starting from the one before.

    ``style`` and ``settings`` may be assigned between frames. ``on_iteration`` is called as each iteration begins. After
    a call ``iterations`` holds the losses of that frame's iterations, in order. On a CPU the process keeps for the next step
    what memory a step frees, see ``keep_freed_memory``.

    Args:
        features: how pictures are looked at.
        style: what the painting should look like, seen through the same features.
        settings: all else.

    Raises:
        ValueError: layers that the features lack, or a style made with other features.
    """

    def __init__(self, features: Features, style: Style, settings: Settings = Settings()) -> None:  # noqa: B008 (immutable)
        on_cpu = features.device.type == "cpu"
        self._idle_threads = spin_control() if on_cpu else nullcontext()
        if on_cpu:
            keep_freed_memory()
        self.features = features
        self._features_by_dtype: dict[torch.dtype, Features] = {}
        self.style = style
        self.settings = settings
        self.iterations: list[Iteration] = []
        self._remedies: dict[Sizes, str] = {}
        self._sizes: Sizes | None = None
        self.on_iteration: Callable[[], None] = lambda: None
        self.reset()

    def __repr__(self) -> str:
        """Style, device and the settings that differ from the defaults."""
        changed = "".join(
            f", {setting.name}={getattr(self.settings, setting.name)!r}"
            for setting in fields(self.settings)
            if getattr(self.settings, setting.name) != setting.default
        )
        return f"Stylizer({self.style!r}, {self.features.device}{changed})"

    @property
    def style(self) -> Style:
        """The style in force from the next frame on."""
        return self._style

    @style.setter
    def style(self, style: Style) -> None:
        if style.features is not self.features:
            raise ValueError(
                "the style was made with other features than the stylizer's: make it with the same"
            )
        self._style = style

    @property
    def settings(self) -> Settings:
        """The settings in force from the next frame on."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.features.check_layers((*settings.content_layers, *settings.style_layers))
        precision, before = (
            choose_precision(settings.precision, self.features.device),
            getattr(self, "_settings", None),
        )
        if before is None or settings.engine != before.engine:
            self.step_runner = make_step_runner(settings.engine, self.features.device)
            self._prepare_frame = graphed(prepare_frame, settings.engine, self.features.device)
        if precision not in self._features_by_dtype:
            self._features_by_dtype[precision] = self.features.in_precision(precision)
        self._active_features = self._features_by_dtype[precision]
        self._settings = settings

    @property
    def compile_seconds(self) -> float:
        """Time spent so far on compiling or recording steps."""
        return sum(
            part.seconds
            for part in (self.step_runner, self._prepare_frame)
            if isinstance(part, (PreparedRunner, GraphedFunction))
        )

    def reset(self) -> None:
        """Forget all frames: the next one starts afresh."""
        self._memory: StylizerState | None = None

    def reset_learning_rate(self) -> None:
        """Let what has come to rest change again: for when the style has become another."""
        if self._memory is not None:
            moments = self._memory.moments.with_decayed_weight(MOMENT_RETENTION)
            self._memory = replace(
                self._memory,
                moments=moments,
                progress=1.0,
                loose=FULL_RATE_STEPS,
                changing=FULL_RATE_STEPS,
            )

    def state(self) -> dict[str, Tensor]:
        """What was remembered of past frames, as plain tensors on the CPU; empty when new."""
        return self._memory.state() if self._memory else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            ValueError: tensors missing or of shapes that do not belong together.
        """
        self._memory = StylizerState.from_state(state, self.features.device) if state else None

    def working_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px at which a frame of this size is optimised."""
        output = self.output_size(frame_size)
        long_side = self.settings.working_size or default_working_px(self.features.device)
        width, height = fit(output, min(long_side, max(output)))
        return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)

    def flow_px(self, frame_size: tuple[int, int]) -> int:
        """Long side in px of the copies in which motion is best looked for."""
        return max(
            MIN_FLOW_SIDE_PX,
            min(
                MAX_FLOW_SIDE_PX,
                round(self.settings.flow_scale * max(self.working_size(frame_size))),
            ),
        )

    def __call__(
        self, frame: Frame, motion: Motion | None = None, steps: int | None = None
    ) -> Frame:
        """Stylise one frame.

        Args:
            frame: any size; sizes may change between frames.
            motion: how the previous frame became this one; None: as if nothing had moved.
            steps: iterations for this frame in place of the settings'.

        Returns:
            A frame of the same time, duration, depth and alpha, of the settings' ``size``.

        Raises:
            DeviceError: out of memory.
            ValueError: ``steps`` below 1.
        """
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}: a frame needs at least 1")
        size = self.working_size(frame.size)
        sizes = size, self.output_size(frame.size)
        if (
            sizes not in self._remedies
        ):  # once per size: later another program's memory is no reason to end a render
            self._remedies[sizes] = check_memory(self.features.device, sizes, self._sizes)
        self._sizes = sizes
        with self._idle_threads, out_of_memory_named(self._remedies[sizes]):
            source = to_tensor(frame.image, self.features.device)
            content = resize(source, size)
            if (motion and motion.cut) or self.settings.init != "previous":
                self.reset()
            if self._memory is None:
                picture = self._stylize_initial(content, steps)
            else:
                picture = self._stylize_next(self._memory, content, motion or Motion(), steps)
            painting = self._postprocess(
                picture, source, alpha_of(frame.image, self.features.device)
            )
            image = to_image(painting, deep=frame.image.dtype == np.uint16)
        return replace(frame, image=image)

    def _stylize_next(
        self, memory: StylizerState, content: Tensor, motion: Motion, steps: int | None
    ) -> Tensor:
        """Start from the painting before."""
        remembered = replace(
            memory, loss=0.0, progress=0.0, loose=0, changing=0
        )  # other numbers would be another signature
        start, targets, match = self._prepare_frame(
            self._active_features,
            self._content_layers(),
            self._style_context(content),
            remembered,
            content,
            motion,
        )
        steps = steps or step_budget(start, memory.progress, self.settings.steps)
        objective = replace(
            self._objective(content, targets), before=(start.picture, start.known), match=match
        )
        loose = memory.loose if memory.picture.shape == content.shape else FULL_RATE_STEPS
        rate = (
            StepSize(self.settings.learning_rate)
            if loose
            else StepSize(self.settings.learning_rate, FAST_LR_DECAY, ahead=1)
        )
        if memory.changing:  # whole regions, and colours, as readily as strokes
            rate = rate._replace(scales=1, colours=1)
        step_runner = partial(self.step_runner, rate=rate)
        minimum = self._minimize(start.picture, start.moments, objective, steps, step_runner)
        size = content.shape[-1], content.shape[-2]
        self.iterations = _fetch_losses([(size, loss) for loss in minimum.losses])
        self._memory = StylizerState(
            minimum.picture,
            minimum.moments,
            start.content.clone(),  # what was recorded writes over it
            start.offset.clone(),
            start.travel.clone(),
            loss=self.iterations[-1].total,
            progress=_loss_decrease(memory.loss, self.iterations),
            loose=max(0, loose - steps),
            changing=max(0, memory.changing - steps),
            earlier=(memory.picture, *memory.earlier)[: max(LONG_TERM) - 1]
            if self.settings.long_term
            else (),
        )
        return minimum.picture

    def _stylize_initial(self, content: Tensor, steps: int | None) -> Tensor:
        """Coarse to fine from the content, or from noise."""
        steps = steps or self.settings.initial_steps
        height, width = content.shape[-2:]
        levels = [(width, height)]
        while len(levels) < self.settings.pyramid_levels:
            coarser = fit((width, height), round(max(levels[0]) * PYRAMID_RATIO))
            if min(coarser) < MIN_SIDE_PX:
                break
            levels.insert(0, coarser)
        picture = self._initial_image(resize(content, levels[0]))
        losses: list[tuple[tuple[int, int], Losses]] = []
        for number, size in enumerate(levels):
            target, picture = resize(content, size), resize(picture, size)
            share = steps * (number + 1) // len(levels) - steps * number // len(levels)
            # Nothing came before; that it is said in this way gives all frames the same kind of objective.
            objective = self.objective(target, (picture, torch.zeros_like(picture[:, :1])))
            # Large strokes first: the content has its full weight at the full size alone.
            weights = objective.weights._replace(
                content=(number + 1) / len(levels) * objective.weights.content
            )
            objective = replace(objective, weights=weights)
            chosen = (
                self.step_runner if size == levels[-1] else adam
            )  # what is prepared shall be of use again
            step_runner = partial(chosen, rate=StepSize(self.settings.learning_rate))
            moments = AdamState.zero(picture)
            while share > 0:
                few = share if self.settings.optimizer == "lbfgs" else min(share, REMATCH_STEPS)
                minimum = self._minimize(
                    picture, moments, objective.with_fixed_matches(picture), few, step_runner
                )
                picture, moments, share = minimum.picture, minimum.moments, share - few
                losses += [(size, loss) for loss in minimum.losses]
        self.iterations = _fetch_losses(losses)
        at_full_size = sum(size == levels[-1] for size, _ in losses)
        loose = max(0, FULL_RATE_STEPS - at_full_size)
        self._memory = StylizerState.of(picture, moments, content, self.iterations[-1].total, loose)
        return picture

    def _initial_image(self, content: Tensor) -> Tensor:
        if self.settings.init != "noise":
            return match_color_statistics(content, self.style.colours())
        generator = torch.Generator().manual_seed(
            self.settings.seed
        )  # on the CPU: the same noise on every device
        return torch.rand(content.shape, generator=generator).to(content.device)

    def objective(self, content: Tensor, before: tuple[Tensor, Tensor] | None = None) -> Objective:
        """What a painting of this content is judged by, whatever its spots come to be like; ``with_fixed_matches`` fixes that.

        Args:
            content: (1, 3, H, W) RGB in [0, 1], of the painting's size.
            before: as in ``Objective``.
        """
        targets, matching = frame_targets(
            self._active_features, self._content_layers(), self._style_context(content), content
        )
        objective = replace(self._objective(content, targets), before=before, matching=matching)
        self._log_objective(content, objective)
        return objective

    def _objective(self, content: Tensor, targets: Mapping[str, ContentTarget]) -> Objective:
        """All of it that is the style's and the settings'."""
        s, features = self.settings, self._active_features
        usual = features.fast_style_layers if s.fast_style_layers else features.style_layers
        layers = {layer: usual.get(layer, 1.0) for layer in s.style_layers or usual}
        style = self.style.target(self._style_px(content), layers)
        weights = Weights(
            s.content_weight, s.style_weight, s.tv_weight, s.temporal_weight, s.patch_weight
        )
        return Objective(features, targets, tuple(layers), style, weights)

    def _content_layers(self) -> Mapping[str, float]:
        return (
            dict.fromkeys(self.settings.content_layers, 1.0) or self._active_features.content_layers
        )

    def _style_context(self, content: Tensor) -> StyleContext:
        matched = self.settings.patch_weight and self._active_features.match_layers
        size = content.shape[-1], content.shape[-2]
        strokes = self.style.strokes(self._style_px(content), size)
        if not self.settings.style_weight:
            strokes = torch.zeros_like(strokes)
        return StyleContext(
            self.style.colours(),
            strokes,
            self.style.spots(self._style_px(content)) if matched else None,
        )

    def _style_px(self, content: Tensor) -> int:
        """Long side at which the style's pictures are looked at."""
        return round(max(content.shape[-2:]) * self.settings.style_scale)

    def _minimize(
        self,
        picture: Tensor,
        moments: AdamState,
        objective: Objective,
        steps: int,
        step_runner: Callable[..., OptimResult],
    ) -> OptimResult:
        if self.settings.optimizer == "lbfgs":

            def evaluate(picture: Tensor) -> Losses:
                self._begin_iteration()
                return objective(picture)

            return lbfgs(picture, evaluate, steps)
        return step_runner(picture, objective, steps, moments, tick=self._begin_iteration)

    def _begin_iteration(self) -> None:
        check()
        self.on_iteration()

    def _postprocess(self, picture: Tensor, source: Tensor, alpha: Tensor | None) -> Tensor:
        """Enlarge to the output's size, then mix with the source as the settings say; with its alpha, beside the source."""
        settings = self.settings
        size = self.output_size((source.shape[-1], source.shape[-2]))
        painting = resize(picture, size)
        if settings.strength < 1 or settings.original_colors or settings.compare != "no":
            source = resize(source, size)
        if settings.original_colors:
            painting = keep_colors(painting, source)
        if settings.strength < 1:
            painting = torch.lerp(source, painting, settings.strength)
        if settings.compare != "no":
            side = 3 if settings.compare == "beside" else 2
            painting = torch.cat([source, painting], side)
            alpha = None if alpha is None else torch.cat([resize(alpha, size)] * 2, side)
        elif alpha is not None:
            alpha = resize(alpha, size)
        return painting if alpha is None else torch.cat([painting, alpha], 1)

    def output_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px of the stylised frame of a frame of this size."""
        return fit(frame_size, self.settings.size) if self.settings.size else frame_size

    def _log_objective(self, content: Tensor, objective: Objective) -> None:
        if self._memory is not None or not log.isEnabledFor(logging.DEBUG):
            return
        log.debug("content picture %s", _shape(content))
        for picture in self.style.pictures:
            log.debug(
                "style picture %s as read, looked at with the content's long side times the style scale",
                _shape(picture),
            )
        for layer, target in objective.content.items():
            log.debug("content target %s: %s", layer, _shape(target.maps))
        for layer, matrix in self.style.grams(
            self._style_px(content), objective.style_layers
        ).items():
            log.debug("style target %s: Gram matrix %s", layer, _shape(matrix))
        s = self.settings
        log.debug(
            "loss = %g content + %g style + %g total variation",
            s.content_weight,
            s.style_weight,
            s.tv_weight,
        )
        log.debug("     + %g unlikeness of spots to the style's", s.patch_weight)
        log.debug(
            "later frames add %g times their difference from the painting before", s.temporal_weight
        )
        log.debug("pixels %s updated by %s, starting from %s", _shape(content), s.optimizer, s.init)


def default_working_px(device: torch.device) -> int:
    """Long side that the device paints in reasonable time: seconds per frame of a clip, minutes for a still."""
    return 512 if device.type == "cpu" else 1280


def _loss_decrease(loss_before: float, iterations: Sequence[Iteration]) -> float:
    """Share of the loss that each step of a frame took away; with a single step, compared with the frame before."""
    first, steps = (
        (iterations[0].total, len(iterations) - 1) if len(iterations) > 1 else (loss_before, 1)
    )
    return (first - iterations[-1].total) / (first * steps) if first else 0.0


def _fetch_losses(losses: list[tuple[tuple[int, int], Losses]]) -> list[Iteration]:
    """Fetch all losses of a frame from the device at once: one wait per frame, not one per iteration."""
    values = (
        torch.stack(
            [
                torch.stack([loss.total, loss.content, loss.style, loss.temporal])
                for _, loss in losses
            ]
        )
        .cpu()
        .tolist()
    )
    return [Iteration(size, *row) for (size, _), row in zip(losses, values, strict=True)]


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape)
