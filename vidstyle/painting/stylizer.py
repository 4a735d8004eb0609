"""The painter: turns frames into stylised frames, and is the only thing here that remembers anything."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..interrupts import check
from ..media.frame import Frame, fit
from ..settings import Settings
from .beginning import Guide, aims, begin
from .colours import led_to
from .device import choose_precision, hold_memory, out_of_memory_named
from .execution import Prepared, choose_descent, replayed
from .features import MIN_SIDE_PX, Features
from .flow import FLOW_PX, LEAST_PX, Motion
from .losses import ContentTarget, Losses, Objective, Weights
from .openmp import spin_control
from .optimize import SOON, Minimum, Moments, Rate, adam, lbfgs
from .recording import Replayed
from .room import Sizes, check_room
from .style import Style
from .tensors import alpha_of, keep_colours, resize, to_image, to_tensor
from .warmstart import LONG_TERM, Memory, budget

log = logging.getLogger(__name__)

LEVEL_RATIO = 0.6
"""Size of a coarse level relative to the next finer one."""

REMATCH_STEPS = 10
"""Steps of a fresh painting after which its spots are compared with the style's anew."""

LOOSE = 0.1
"""How much of its past the optimiser keeps when it is loosened: ten steps of hundreds."""

LOOSE_STEPS = 40
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
    what memory a step frees, see ``hold_memory``.

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
            hold_memory()
        self.features = features
        self._seen_through: dict[torch.dtype, Features] = {}
        self.style = style
        self.settings = settings
        self.iterations: list[Iteration] = []
        self._remedies: dict[Sizes, str] = {}
        self._sizes: Sizes | None = None
        self.on_iteration: Callable[[], None] = lambda: None
        self.reset()

    @property
    def style(self) -> Style:
        """The style in force from the next frame on."""
        return self._style

    @style.setter
    def style(self, style: Style) -> None:
        if style.features is not self.features:
            raise ValueError("the style was made with other features than the stylizer's: make it with the same")
        self._style = style

    @property
    def settings(self) -> Settings:
        """The settings in force from the next frame on."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.features.check_layers((*settings.content_layers, *settings.style_layers))
        precision, before = choose_precision(settings.precision, self.features.device), getattr(self, "_settings", None)
        if before is None or settings.engine != before.engine:
            self.descend = choose_descent(settings.engine, self.features.device)
            self._begin = replayed(begin, settings.engine, self.features.device)
        if precision not in self._seen_through:
            self._seen_through[precision] = self.features.in_precision(precision)
        self._looking = self._seen_through[precision]
        self._settings = settings

    @property
    def preparing_seconds(self) -> float:
        """Time spent so far on compiling or recording steps."""
        return sum(part.seconds for part in (self.descend, self._begin) if isinstance(part, (Prepared, Replayed)))

    def reset(self) -> None:
        """Forget all frames: the next one starts afresh."""
        self._memory: Memory | None = None

    def loosen(self) -> None:
        """Let what has come to rest change again: for when the style has become another."""
        if self._memory is not None:
            moments = self._memory.moments.loosened(LOOSE)
            self._memory = replace(self._memory, moments=moments, progress=1.0, loose=LOOSE_STEPS, changing=LOOSE_STEPS)

    def state(self) -> dict[str, Tensor]:
        """What was remembered of past frames, as plain tensors on the CPU; empty when new."""
        return self._memory.state() if self._memory else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            ValueError: tensors missing or of shapes that do not belong together.
        """
        self._memory = Memory.from_state(state, self.features.device) if state else None

    def paint_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px at which a frame of this size is optimised."""
        output = self._output_size(frame_size)
        long_side = self.settings.paint_size or default_paint_px(self.features.device)
        width, height = fit(output, min(long_side, max(output)))
        return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)

    def flow_px(self, frame_size: tuple[int, int]) -> int:
        """Long side in px of the copies in which motion is best looked for."""
        return max(LEAST_PX, min(FLOW_PX, round(self.settings.flow_scale * max(self.paint_size(frame_size)))))

    def __call__(self, frame: Frame, motion: Motion | None = None, steps: int | None = None) -> Frame:
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
        size = self.paint_size(frame.size)
        sizes = size, self._output_size(frame.size)
        if sizes not in self._remedies:  # once per size: later another program's memory is no reason to end a render
            self._remedies[sizes] = check_room(self.features.device, sizes, self._sizes)
        self._sizes = sizes
        with self._idle_threads, out_of_memory_named(self._remedies[sizes]):
            source = to_tensor(frame.image, self.features.device)
            content = resize(source, size)
            if (motion and motion.cut) or self.settings.init != "previous":
                self.reset()
            if self._memory is None:
                picture = self._paint_fresh(content, steps)
            else:
                picture = self._paint_on(self._memory, content, motion or Motion(), steps)
            painting = self._finish(picture, source, alpha_of(frame.image, self.features.device))
            image = to_image(painting, deep=frame.image.dtype == np.uint16)
        return replace(frame, image=image)

    def _paint_on(self, memory: Memory, content: Tensor, motion: Motion, steps: int | None) -> Tensor:
        """Start from the painting before."""
        remembered = replace(memory, loss=0.0, progress=0.0, loose=0, changing=0)  # other numbers would be another signature
        start, targets, match = self._begin(
            self._looking, self._content_layers(), self._guide(content), remembered, content, motion
        )
        steps = steps or budget(start, memory.progress, self.settings.steps)
        objective = replace(self._objective(content, targets), before=(start.picture, start.known), match=match)
        loose = memory.loose if memory.picture.shape == content.shape else LOOSE_STEPS
        rate = Rate(self.settings.learning_rate) if loose else Rate(self.settings.learning_rate, SOON, ahead=1)
        if memory.changing:  # whole regions, and colours, as readily as strokes
            rate = rate._replace(scales=1, colours=1)
        descend = partial(self.descend, rate=rate)
        minimum = self._minimize(start.picture, start.moments, objective, steps, descend)
        size = content.shape[-1], content.shape[-2]
        self.iterations = _read([(size, loss) for loss in minimum.losses])
        self._memory = Memory(
            minimum.picture,
            minimum.moments,
            start.content.clone(),  # what was recorded writes over it
            start.offset.clone(),
            start.travel.clone(),
            loss=self.iterations[-1].total,
            progress=_progress(memory.loss, self.iterations),
            loose=max(0, loose - steps),
            changing=max(0, memory.changing - steps),
            earlier=(memory.picture, *memory.earlier)[: max(LONG_TERM) - 1] if self.settings.long_term else (),
        )
        return minimum.picture

    def _paint_fresh(self, content: Tensor, steps: int | None) -> Tensor:
        """Coarse to fine from the content, or from noise."""
        steps = steps or self.settings.first_steps
        height, width = content.shape[-2:]
        levels = [(width, height)]
        while len(levels) < self.settings.levels:
            coarser = fit((width, height), round(max(levels[0]) * LEVEL_RATIO))
            if min(coarser) < MIN_SIDE_PX:
                break
            levels.insert(0, coarser)
        picture = self._first_guess(resize(content, levels[0]))
        losses: list[tuple[tuple[int, int], Losses]] = []
        for number, size in enumerate(levels):
            target, picture = resize(content, size), resize(picture, size)
            share = steps * (number + 1) // len(levels) - steps * number // len(levels)
            # Nothing came before; that it is said in this way gives all frames the same kind of objective.
            objective = self.objective(target, (picture, torch.zeros_like(picture[:, :1])))
            # Large strokes first: the content has its full weight at the full size alone.
            weights = objective.weights._replace(content=(number + 1) / len(levels) * objective.weights.content)
            objective = replace(objective, weights=weights)
            chosen = self.descend if size == levels[-1] else adam  # what is prepared shall be of use again
            descend = partial(chosen, rate=Rate(self.settings.learning_rate))
            moments = Moments.zero(picture)
            while share > 0:
                few = share if self.settings.optimizer == "lbfgs" else min(share, REMATCH_STEPS)
                minimum = self._minimize(picture, moments, objective.settled(picture), few, descend)
                picture, moments, share = minimum.picture, minimum.moments, share - few
                losses += [(size, loss) for loss in minimum.losses]
        self.iterations = _read(losses)
        at_full_size = sum(size == levels[-1] for size, _ in losses)
        loose = max(0, LOOSE_STEPS - at_full_size)
        self._memory = Memory.of(picture, moments, content, self.iterations[-1].total, loose)
        return picture

    def _first_guess(self, content: Tensor) -> Tensor:
        if self.settings.init != "noise":
            return led_to(content, self.style.colours())
        generator = torch.Generator().manual_seed(self.settings.seed)  # on the CPU: the same noise on every device
        return torch.rand(content.shape, generator=generator).to(content.device)

    def objective(self, content: Tensor, before: tuple[Tensor, Tensor] | None = None) -> Objective:
        """What a painting of this content is judged by, whatever its spots come to be like; ``settled`` fixes that.

        Args:
            content: (1, 3, H, W) RGB in [0, 1], of the painting's size.
            before: as in ``Objective``.
        """
        targets, matching = aims(self._looking, self._content_layers(), self._guide(content), content)
        objective = replace(self._objective(content, targets), before=before, matching=matching)
        self._explain(content, objective)
        return objective

    def _objective(self, content: Tensor, targets: Mapping[str, ContentTarget]) -> Objective:
        """All of it that is the style's and the settings'."""
        s, features = self.settings, self._looking
        usual = features.few_layers if s.few_layers else features.style_layers
        layers = {layer: usual.get(layer, 1.0) for layer in s.style_layers or usual}
        style = self.style.target(self._style_px(content), layers)
        weights = Weights(s.content_weight, s.style_weight, s.tv_weight, s.temporal_weight, s.match_weight)
        return Objective(features, targets, tuple(layers), style, weights)

    def _content_layers(self) -> Mapping[str, float]:
        return dict.fromkeys(self.settings.content_layers, 1.0) or self._looking.content_layers

    def _guide(self, content: Tensor) -> Guide:
        matched = self.settings.match_weight and self._looking.match_layers
        size = content.shape[-1], content.shape[-2]
        strokes = self.style.strokes(self._style_px(content), size)
        if not self.settings.style_weight:
            strokes = torch.zeros_like(strokes)
        return Guide(self.style.colours(), strokes, self.style.spots(self._style_px(content)) if matched else None)

    def _style_px(self, content: Tensor) -> int:
        """Long side at which the style's pictures are looked at."""
        return round(max(content.shape[-2:]) * self.settings.style_scale)

    def _minimize(
        self, picture: Tensor, moments: Moments, objective: Objective, steps: int, descend: Callable[..., Minimum]
    ) -> Minimum:
        if self.settings.optimizer == "lbfgs":

            def evaluate(picture: Tensor) -> Losses:
                self._begin_iteration()
                return objective(picture)

            return lbfgs(picture, evaluate, steps)
        return descend(picture, objective, steps, moments, tick=self._begin_iteration)

    def _begin_iteration(self) -> None:
        check()
        self.on_iteration()

    def _finish(self, picture: Tensor, source: Tensor, alpha: Tensor | None) -> Tensor:
        """Enlarge to the output's size, then mix with the source as the settings say; with its alpha, beside the source."""
        settings = self.settings
        size = self._output_size((source.shape[-1], source.shape[-2]))
        painting = resize(picture, size)
        if settings.strength < 1 or settings.original_colors or settings.compare != "no":
            source = resize(source, size)
        if settings.original_colors:
            painting = keep_colours(painting, source)
        if settings.strength < 1:
            painting = torch.lerp(source, painting, settings.strength)
        if settings.compare != "no":
            side = 3 if settings.compare == "beside" else 2
            painting = torch.cat([source, painting], side)
            alpha = None if alpha is None else torch.cat([resize(alpha, size)] * 2, side)
        elif alpha is not None:
            alpha = resize(alpha, size)
        return painting if alpha is None else torch.cat([painting, alpha], 1)

    def _output_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        return fit(frame_size, self.settings.size) if self.settings.size else frame_size

    def _explain(self, content: Tensor, objective: Objective) -> None:
        if self._memory is not None or not log.isEnabledFor(logging.DEBUG):
            return
        log.debug("content picture %s", _shape(content))
        for picture in self.style.pictures:
            log.debug("style picture %s as read, looked at with the content's long side times the style scale", _shape(picture))
        for layer, target in objective.content.items():
            log.debug("content target %s: %s", layer, _shape(target.maps))
        for layer, matrix in self.style.grams(self._style_px(content), objective.style_layers).items():
            log.debug("style target %s: Gram matrix %s", layer, _shape(matrix))
        s = self.settings
        log.debug("loss = %g content + %g style + %g total variation", s.content_weight, s.style_weight, s.tv_weight)
        log.debug("     + %g unlikeness of spots to the style's", s.match_weight)
        log.debug("later frames add %g times their difference from the painting before", s.temporal_weight)
        log.debug("pixels %s updated by %s, starting from %s", _shape(content), s.optimizer, s.init)


def default_paint_px(device: torch.device) -> int:
    """Long side that the device paints in reasonable time: seconds per frame of a clip, minutes for a still."""
    return 512 if device.type == "cpu" else 1280


def _progress(loss_before: float, iterations: Sequence[Iteration]) -> float:
    """Share of the loss that each step of a frame took away; with a single step, compared with the frame before."""
    first, steps = (iterations[0].total, len(iterations) - 1) if len(iterations) > 1 else (loss_before, 1)
    return (first - iterations[-1].total) / (first * steps) if first else 0.0


def _read(losses: list[tuple[tuple[int, int], Losses]]) -> list[Iteration]:
    """Fetch all losses of a frame from the device at once: one wait per frame, not one per iteration."""
    values = (
        torch.stack([torch.stack([loss.total, loss.content, loss.style, loss.temporal]) for _, loss in losses]).cpu().tolist()
    )
    return [Iteration(size, *row) for (size, _), row in zip(losses, values, strict=True)]


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape)
