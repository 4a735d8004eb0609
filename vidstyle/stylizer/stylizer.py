"""The stylizer optimises the pixels of each frame, starting from the previous stylised frame."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..features.extractor import Features
from ..flow.motion import Motion
from ..io.frame import Frame
from ..losses.base import Loss
from ..losses.defaults import default_losses
from ..losses.objective import Objective, StyleContext, first_image, prepare_targets
from ..ops.tensors import resize, to_resized_tensor
from ..optim.adam import AdamState, OptimResult, StepSize, adam, do_nothing
from ..optim.cuda_graph import GraphedFunction
from ..optim.lbfgs import lbfgs
from ..optim.runners import PreparedRunner, StepRunner, graphed, make_step_runner
from ..runtime.device import choose_precision, keep_freed_memory, out_of_memory_named
from ..runtime.interrupts import check
from ..runtime.openmp import spin_control
from ..settings import Settings
from .boil import boiled, drawing_number
from .cold_start import cold_start
from .frame_setup import FrameInput, prepare_frame
from .iterations import Iteration, fetch_iterations
from .memory_check import MemoryChecker
from .output import output_image, stylized_frame
from .regions import FrameGuides, Region, frame_guides, style_context
from .report import log_objective
from .sizes import flow_px, output_size, settings_for, working_size
from .state import StylizerState
from .style import Style
from .timeline import Timeline
from .warm_start import state_after, step_budget, warm_start, warm_step_size

FULL_LR_STEPS = 40
"""Steps at the working size before the learning rate decays fast: for a first frame, and after a
change of size or style."""

WeightedLosses = Callable[[Features, Settings], Mapping[Loss, float]]
"""The losses of an objective, with their weights; equal ones for equal settings, since a program is
compiled for them. ``default_losses`` is one such function."""


class Stylizer:
    """Stylises frames by optimising their pixels (Gatys et al. 2015), each from the previous one.

    ``style``, ``settings``, ``regions`` and ``losses`` may be assigned between frames; a
    ``timeline`` sets the first three. ``on_iteration`` is called before each iteration, ``finish``
    with each stylised frame. After a call ``iterations`` holds the losses of that frame.

    Thread safety: several stylizers may share features and styles, each in a thread of its own.
    The state is the stylizer's, and the cache of style statistics has a lock. Two threads must not
    call one stylizer at once. On a CPU the process keeps freed memory.

    Args:
        features: compute activations.
        style: analysed through the same features.
        settings: all else.
        losses: the weighted losses of the objective of every frame, given the features and the
            present settings. ``lambda features, settings: {**default_losses(features, settings),
            MyLoss(): 2.0}`` adds one.

    Raises:
        ValueError: layers that the features lack, or a style made with other features.
    """

    def __init__(
        self,
        features: Features,
        style: Style,
        settings: Settings = Settings(),  # noqa: B008 (immutable)
        losses: WeightedLosses = default_losses,
    ) -> None:
        on_cpu = features.device.type == "cpu"
        self._idle_threads = spin_control() if on_cpu else nullcontext()
        if on_cpu:
            keep_freed_memory()
        self.features = features
        self._features_by_dtype: dict[torch.dtype, Features] = {}
        self.style = style
        self.losses = losses
        self.settings = settings
        self.iterations: list[Iteration] = []
        self.timeline: Timeline | None = None
        self.regions: tuple[Region, ...] = ()
        self._guides = FrameGuides()
        self._memory = MemoryChecker(features)
        self.on_iteration: Callable[[], None] = do_nothing
        self.finish: Callable[[Frame], Frame] = lambda frame: frame
        self.separate = False
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
        """The style from the next frame on."""
        return self._style

    @style.setter
    def style(self, style: Style) -> None:
        if style.features is not self.features:
            raise ValueError("the style has other features than the stylizer: use the same")
        self._style = style

    @property
    def settings(self) -> Settings:
        """The settings from the next frame on."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        for loss in self.losses(self.features, settings):
            self.features.check_layers((*loss.layers, *loss.content_layers))
        self._precision = choose_precision(settings.precision, self.features.device)
        before = getattr(self, "_settings", None)
        if before is None or settings.engine != before.engine:
            self.step_runner: StepRunner = make_step_runner(settings.engine, self.features.device)
            self._prepare_frame = graphed(prepare_frame, settings.engine, self.features.device)
        if self._precision not in self._features_by_dtype:
            of_precision = self.features.in_precision(self._precision)
            self._features_by_dtype[self._precision] = of_precision
        self._active_features = self._features_by_dtype[self._precision]
        self._settings = settings

    @property
    def compile_seconds(self) -> float:
        """Time spent so far on compiling or recording."""
        parts = self.step_runner, self._prepare_frame
        return sum(x.seconds for x in parts if isinstance(x, (PreparedRunner, GraphedFunction)))

    def reset(self) -> None:
        """Forget all frames: the next frame is a first frame."""
        self._state: StylizerState | None = None

    def reset_learning_rate(self, where: Tensor | None = None) -> None:
        """Restore the full learning rate, for a change of style: where a (1, 1, H, W) mask is 1."""
        if self._state is not None:
            self._state = self._state.for_another_style(FULL_LR_STEPS, where)

    def state(self) -> dict[str, Tensor]:
        """Tensors on the CPU that the next frame depends on; empty before the first frame."""
        return self._state.state_dict() if self._state else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a ``state``.

        Raises:
            ValueError: tensors missing, or of shapes that do not belong together.
        """
        self._state = StylizerState.from_state_dict(state, self.features.device) if state else None

    def working_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) px at which a frame of this size is optimised."""
        return working_size(self.settings, frame_size, self.features.device)

    def output_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) px of the stylised frame of a frame of this size."""
        return output_size(self.settings, frame_size)

    def flow_px(self, frame_size: tuple[int, int]) -> int:
        """Long side in px at which optical flow is computed."""
        return flow_px(self.settings, self.working_size(frame_size))

    @contextmanager
    def separate_state(self) -> Iterator[None]:
        """Stylise other frames within the block, beginning with a first frame.

        The state before the block comes back at its end. ``separate`` is True meanwhile.
        """
        before = self._state, self.iterations, self.separate
        self._state, self.separate = None, True
        try:
            yield
        finally:
            self._state, self.iterations, self.separate = before

    def __call__(
        self,
        frame: Frame,
        motion: Motion | None = None,
        steps: int | None = None,
        proposal: Tensor | None = None,
    ) -> Frame:
        """Stylise one frame.

        Args:
            frame: any size; sizes may change between frames.
            motion: from this frame to the previous one; None: nothing moved.
            steps: iterations for this frame in place of the settings'.
            proposal: see ``warm_start``, of any size.

        Returns:
            A frame of the same time, duration, depth and alpha, of the settings' ``size``.

        Raises:
            DeviceError: out of memory.
            ValueError: ``steps`` below 1.
        """
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}: a frame needs at least 1")
        # A caller may be in inference mode, whose tensors have no gradients.
        with torch.inference_mode(False), self._prepared_for(frame):
            stylized = self._stylize(frame, motion, steps, proposal)
            layout = self.output_size(frame.size), self.settings, self._guides
            deep = frame.image.dtype == np.uint16
            image = output_image(stylized, frame, *layout, deep=deep)
        return self.finish(stylized_frame(frame, image))

    def stylize_reduced(self, frame: Frame, motion: Motion | None, steps: int) -> Tensor:
        """Stylise one frame at its working size: (1, 3, H, W). Arguments as for a call.

        Without ``steps`` the previous stylised frame is only warped.
        """
        with torch.inference_mode(False), self._prepared_for(frame):
            return self._stylize(frame, motion, steps, None)

    @contextmanager
    def _prepared_for(self, frame: Frame) -> Iterator[None]:
        if self.timeline:
            look = self.timeline.look(frame.clip_time)
            self.style, self.settings = look.style, replace(self.settings, **look.settings)
            self.regions = look.regions or self.regions
            if look.fading:
                self.reset_learning_rate()
        self._guides = frame_guides(frame, self.regions, self.features.device)
        if (changing := self._guides.changing()) is not None:
            self.reset_learning_rate(changing)
        sizes = self.working_size(frame.size), self.output_size(frame.size)
        fit = self._memory.check(sizes, len(self.regions))
        self._active_features = self._features_by_dtype[self._precision].in_tiles(fit.tile_px)
        with self._idle_threads, out_of_memory_named(fit.remedy):
            yield

    def _stylize(
        self, frame: Frame, motion: Motion | None, steps: int | None, proposal: Tensor | None
    ) -> Tensor:
        size = self.working_size(frame.size)
        content = to_resized_tensor(frame.image, size, self.features.device)
        if (motion and motion.cut) or self.settings.init != "previous":
            self.reset()
        if self._state is None or not self._state.fits(content):
            return self._stylize_initial(content, steps, drawing_number(frame, self.settings))
        if proposal is not None:
            proposal = resize(proposal.to(content), size)
        given = FrameInput(content, replace(motion or Motion(), reverse=None), proposal)
        state = self._state if self.separate else boiled(self._state, frame, self.settings)
        return self._stylize_next(state, given, steps)

    def _stylize_next(self, state: StylizerState, frame: FrameInput, steps: int | None) -> Tensor:
        """Stylise a warm-started frame."""
        features, content = self._active_features, frame.content
        losses = self.losses(features, self.settings)
        style = self._style_context(losses, content)
        full = state.full_lr_steps if state.image.shape == content.shape else FULL_LR_STEPS
        before = state.without_numbers()
        if steps == 0:
            start = warm_start(before, content, frame.motion)
            result = OptimResult(start.frame.image, start.frame.adam, [])
            self._state = state_after(state, start, result, [], full)
            return start.frame.image
        prepare = self._prepare_frame if features.tile_px is None else prepare_frame
        start, targets = prepare(features, tuple(losses), style, before, frame)
        steps = steps or step_budget(start, state.loss_decrease, self.settings.steps)
        objective = self.objective(start.frame.content, targets=targets)
        step_size = warm_step_size(self.settings.learning_rate, full, state.restyle_steps)
        result = self._minimize(start.frame.image, start.frame.adam, objective, steps, step_size)
        size = content.shape[-1], content.shape[-2]
        self.iterations = fetch_iterations([(size, loss) for loss in result.losses])
        self._state = state_after(state, start, result, self.iterations, full)
        return result.image

    def _stylize_initial(self, content: Tensor, steps: int | None, drawing: int) -> Tensor:
        """Stylise a first frame."""

        def match_colors(content: Tensor) -> Tensor:
            return first_image(content, self._style_context({}, content))

        start = self.settings, match_colors, self.objective, self._minimize
        result, losses = cold_start(content, steps or self.settings.initial_steps, *start)
        self.iterations = fetch_iterations(losses)
        size = content.shape[-1], content.shape[-2]
        full = max(0, FULL_LR_STEPS - sum(each == size for each, _ in losses))
        numbers = self.iterations[-1].total, full, drawing
        self._state = StylizerState.initial(result.image, result.state, content, *numbers)
        return result.image

    def _style_context(self, losses: Mapping[Loss, float], content: Tensor) -> StyleContext:
        return style_context(self.style, self.settings, losses, content, self._guides)

    def objective(
        self,
        content: Tensor,
        previous: tuple[Tensor, Tensor] | None = None,
        targets: tuple[Any, ...] | None = None,
    ) -> Objective:
        """The objective of a frame. Every frame is optimised by what this method returns.

        Args:
            content: (1, 3, H, W) RGB in [0, 1] of the working size.
            previous: the warped previous stylised frame, (1, 3, H, W), and its valid mask, (1, 1,
                H, W); None: no temporal term.
            targets: of each loss, where they are prepared already; None: prepare them.
        """
        features = self._active_features
        losses = self.losses(features, settings_for(self.settings, content))
        if targets is None:
            style = self._style_context(losses, content)
            targets = prepare_targets(features, losses, style, content, previous)
        objective = Objective.of(features, losses, targets)
        if self._state is None:
            log_objective(objective, content, self.style, self.settings)
        return objective

    def _minimize(
        self,
        image: Tensor,
        state: AdamState,
        objective: Objective,
        steps: int,
        step_size: StepSize,
        prepared: bool = True,
    ) -> OptimResult:
        """Take steps; ``prepared``: by the engine of the settings, which takes no tiles."""
        if self.settings.optimizer == "lbfgs":
            return lbfgs(image, objective, steps, self._begin_iteration)
        prepared = prepared and self._active_features.tile_px is None
        runner = self.step_runner if prepared else adam
        return runner(image, objective, steps, state, step_size, self._begin_iteration)

    def _begin_iteration(self) -> None:
        check()
        self.on_iteration()
