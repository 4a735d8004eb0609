"""The painter: turns frames into stylised frames, and is the only thing here that remembers anything."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .device import free_memory, out_of_memory_named
from .errors import DeviceError
from .features import MIN_SIDE_PX, Features
from .flow import Motion, resize_flow, warp
from .frame import Frame, fit, keep_colours, resize, to_image, to_tensor
from .losses import Losses, Objective
from .optimize import Minimum, Moments, adam, lbfgs
from .settings import Settings
from .style import Style

log = logging.getLogger(__name__)

LEVEL_RATIO = 0.6
"""Size of a coarse level relative to the next finer one."""

BYTES_PER_PIXEL = 4500
"""Peak memory per painted pixel, bundled features in float32: 3.4 to 4.3 kB measured on a CPU from 512 to 1920 px."""


OUTPUT_BYTES_PER_PIXEL = 100
"""The same per pixel of the output: 57 to 59 bytes measured up to 8192 px, and what the encoder takes."""


@dataclass(frozen=True)
class Iteration:
    """Losses one iteration started from, at a picture of ``size`` (width, height) px."""

    size: tuple[int, int]
    total: float
    content: float
    style: float


class Stylizer:
    """Paints frames by optimising their pixels, each starting from the one before.

    ``style`` and ``settings`` may be assigned between frames. ``on_iteration`` is called as each iteration begins. After
    a call ``iterations`` holds the losses of that frame's iterations, in order.

    Args:
        features: how pictures are looked at.
        style: what the painting should look like, seen through the same features.
        settings: all else.

    Raises:
        ValueError: layers that the features lack, or a style made with other features.
    """

    def __init__(self, features: Features, style: Style, settings: Settings = Settings()) -> None:  # noqa: B008 (immutable)
        self.features = features
        self.style = style
        self.settings = settings
        self.iterations: list[Iteration] = []
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
        self._settings = settings

    def reset(self) -> None:
        """Forget all frames: the next one starts afresh."""
        self._picture: Tensor | None = None
        self._moments: Moments | None = None

    def state(self) -> dict[str, Tensor]:
        """What was remembered of past frames, as plain tensors on the CPU; empty when new."""
        if self._picture is None or self._moments is None:
            return {}
        remembered = {"picture": self._picture, "moments.mean": self._moments.mean}
        remembered |= {"moments.square": self._moments.square, "moments.count": self._moments.count}
        return {name: tensor.cpu().clone() for name, tensor in remembered.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            ValueError: tensors missing or of shapes that do not belong together.
        """
        if not state:
            self.reset()
            return
        try:
            picture, *memory = (
                state[name].to(self.features.device, copy=True)
                for name in ("picture", "moments.mean", "moments.square", "moments.count")
            )
        except KeyError as error:
            raise ValueError(f"the state lacks {error}: it was not made by Stylizer.state()") from None
        if picture.ndim != 4 or picture.shape[:2] != (1, 3) or any(m.shape[-2:] != picture.shape[-2:] for m in memory):
            raise ValueError("the state's tensors have shapes that do not belong together")
        self._picture, self._moments = picture, Moments(*memory)

    def paint_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in px at which a frame of this size is optimised."""
        output = self._output_size(frame_size)
        long_side = self.settings.paint_size or default_paint_px(self.features.device, self.settings)
        width, height = fit(output, min(long_side, max(output)))
        return max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX)

    def __call__(self, frame: Frame, motion: Motion | None = None, steps: int | None = None) -> Frame:
        """Stylise one frame.

        Args:
            frame: any size; sizes may change between frames.
            motion: how the previous frame became this one; None: as if nothing had moved.
            steps: iterations for this frame in place of the settings'.

        Returns:
            A frame of the same time and duration, (H, W, 3) uint8, of the settings' ``size``.

        Raises:
            DeviceError: out of memory.
            ValueError: ``steps`` below 1.
        """
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}: a frame needs at least 1")
        size = self.paint_size(frame.size)
        remedy = self._check_memory(size, self._output_size(frame.size))
        with out_of_memory_named(remedy):
            source = to_tensor(frame.image, self.features.device)
            content = resize(source, size)
            start = self._start(content, motion)
            if start is None:
                minimum, losses = self._paint_fresh(content, steps or self.settings.first_steps)
            else:
                picture, moments = start
                minimum = self._minimize(picture, content, steps or self.settings.steps, moments)
                losses = [(size, loss) for loss in minimum.losses]
            self._picture, self._moments = minimum.picture, minimum.moments
            self.iterations = _read(losses)
            return replace(frame, image=to_image(self._finish(minimum.picture, source)))

    def _start(self, content: Tensor, motion: Motion | None) -> tuple[Tensor, Moments] | None:
        """Picture and moments to go on from, None where the frame has to be painted afresh."""
        if motion is not None and motion.cut:
            self.reset()
        if self._picture is None or self._moments is None or self.settings.init != "previous":
            return None
        height, width = content.shape[-2:]
        picture, moments = self._picture, self._moments
        if picture.shape != content.shape:
            picture = resize(picture, (width, height))
            moments = Moments.zero(picture)
        if motion is None or motion.flow is None:
            return picture, moments
        return _move(picture, moments, content, motion.flow, motion.reliable)

    def _paint_fresh(self, content: Tensor, steps: int) -> tuple[Minimum, list[tuple[tuple[int, int], Losses]]]:
        """Coarse to fine from the content, or from noise."""
        height, width = content.shape[-2:]
        levels = [(width, height)]
        while len(levels) < self.settings.levels:
            coarser = fit((width, height), round(max(levels[0]) * LEVEL_RATIO))
            if min(coarser) < MIN_SIDE_PX:
                break
            levels.insert(0, coarser)
        picture, losses = None, []
        for number, size in enumerate(levels):
            target = resize(content, size)
            picture = self._first_guess(target) if picture is None else resize(picture, size)
            share = steps * (number + 1) // len(levels) - steps * number // len(levels)
            minimum = self._minimize(picture, target, share, Moments.zero(picture))
            picture = minimum.picture
            losses += [(size, loss) for loss in minimum.losses]
        return minimum, losses

    def _first_guess(self, content: Tensor) -> Tensor:
        if self.settings.init != "noise":
            return content
        generator = torch.Generator().manual_seed(self.settings.seed)  # on the CPU: the same noise on every device
        return torch.rand(content.shape, generator=generator).to(content.device)

    def _minimize(self, picture: Tensor, content: Tensor, steps: int, moments: Moments) -> Minimum:
        settings, features = self.settings, self.features
        content_layers = settings.content_layers or features.content_layers
        style_layers = settings.style_layers or features.style_layers
        with torch.no_grad():
            targets = features(content, content_layers)
        grams = self.style.grams(round(max(content.shape[-2:]) * settings.style_scale), style_layers)
        self._explain(content, targets, grams)
        weights = settings.content_weight, settings.style_weight, settings.tv_weight
        objective = Objective(features, targets, grams, *weights)

        def evaluate(picture: Tensor) -> Losses:
            self.on_iteration()
            return objective(picture)

        if settings.optimizer == "lbfgs":
            return lbfgs(picture, evaluate, steps)
        return adam(picture, evaluate, steps, moments, settings.learning_rate)

    def _finish(self, picture: Tensor, source: Tensor) -> Tensor:
        """Enlarge to the output's size, then mix with the source as the settings say."""
        settings = self.settings
        size = self._output_size((source.shape[-1], source.shape[-2]))
        painting = resize(picture, size)
        if settings.strength == 1 and not settings.original_colors:
            return painting
        source = resize(source, size)
        if settings.original_colors:
            painting = keep_colours(painting, source)
        return torch.lerp(source, painting, settings.strength)

    def _output_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        return fit(frame_size, self.settings.size) if self.settings.size else frame_size

    def _check_memory(self, paint: tuple[int, int], output: tuple[int, int]) -> str:
        """Refuse beforehand what would make the system kill the process. Returns the remedy if it happens all the same."""
        device = self.features.device
        painting, enlarged = paint[0] * paint[1] * BYTES_PER_PIXEL, output[0] * output[1] * OUTPUT_BYTES_PER_PIXEL
        remedy = f"painting {paint[0]}x{paint[1]} px does not fit on {device}; use a smaller --paint-size"
        if enlarged > painting:
            remedy = f"a picture of {output[0]}x{output[1]} px does not fit on {device}; use a smaller --size"
        free = free_memory(device)
        if free is not None and painting + enlarged > free:
            needed = (painting + enlarged) / 1e9
            raise DeviceError(f"out of memory: {remedy} (needs about {needed:.1f} GB, {free / 1e9:.1f} GB are free)")
        return remedy

    def _explain(self, content: Tensor, targets: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> None:
        if self._picture is not None or not log.isEnabledFor(logging.DEBUG):
            return
        log.debug("content picture %s", _shape(content))
        for picture in self.style.pictures:
            log.debug("style picture %s as read, looked at with the content's long side times the style scale", _shape(picture))
        for layer, maps in targets.items():
            log.debug("content target %s: %s", layer, _shape(maps))
        for layer, matrix in grams.items():
            log.debug("style target %s: Gram matrix %s", layer, _shape(matrix))
        s = self.settings
        log.debug("loss = %g content + %g style + %g total variation", s.content_weight, s.style_weight, s.tv_weight)
        log.debug("pixels %s updated by %s, starting from %s", _shape(content), s.optimizer, s.init)


def default_paint_px(device: torch.device, settings: Settings) -> int:
    """Long side that the device paints in reasonable time: seconds per frame of a clip, minutes for a still."""
    if device.type == "cpu":
        return 512 if settings.optimizer == "lbfgs" else 320
    return 1280


def _move(picture: Tensor, moments: Moments, content: Tensor, flow: Tensor, reliable: Tensor | None) -> tuple[Tensor, Moments]:
    """Picture and moments moved along the same flow; what is newly seen starts from the content, with no memory."""
    height, width = content.shape[-2:]
    flow = resize_flow(flow.to(content), (width, height))
    known = torch.ones_like(content[:, :1])
    if reliable is not None:
        known = (resize(reliable.to(content), (width, height)) > 0.5).to(content)
    picture = torch.where(known > 0, warp(picture, flow).clamp(0, 1), content)
    mean = warp(moments.mean, flow, "bilinear") * known
    square = warp(moments.square, flow, "bilinear") * known
    count = warp(moments.count, flow, "nearest") * known
    return picture, Moments(mean, square, count)


def _read(losses: list[tuple[tuple[int, int], Losses]]) -> list[Iteration]:
    """Fetch all losses of a frame from the device at once: one wait per frame, not one per iteration."""
    values = torch.stack([torch.stack([loss.total, loss.content, loss.style]) for _, loss in losses]).cpu().tolist()
    return [Iteration(size, *row) for (size, _), row in zip(losses, values, strict=True)]


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape)
