"""Previews: one frame of a clip, painted coarse, then fine, while its user watches."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import VidstyleError
from ..features.extractor import Features
from ..features.weights import load_features
from ..io.files import changed_ns
from ..io.frame import Frame, Image, rgb_8_bits
from ..io.images import jpeg
from ..losses.objective import Objective
from ..ops.tensors import to_image, to_tensor
from ..runtime.device import choose_device
from ..settings import PRESETS, Settings
from ..stylizer.output import compose_output
from ..stylizer.sizes import default_working_px
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .frames import read_frame, reduced

COARSE_PX, FINE_PX = 192, 512
"""Long sides in px of the two stages."""

COARSE_STEPS, FINE_STEPS = 24, PRESETS["draft"].initial_steps
"""Iterations of the two stages."""

KEPT_STYLES = 8
"""Number of styles that stay loaded: an image of 2048 x 2048 px takes 50 MB."""

Show = Callable[[dict[str, Any]], None]
"""Is called with each event of a preview."""

ShowStage = Callable[[str, Image], None]
"""Is called with the name and the image of each stage."""


class PreviewRequest(NamedTuple):
    """What to paint: a frame of a clip in a style."""

    clip: Path
    seconds: float
    style: Path
    settings: Settings


class StepTime(NamedTuple):
    """What an iteration took, measured by a preview.

    Args:
        seconds: for each pixel.
        settings: of the preview.
    """

    seconds: float
    settings: Settings


class _StoppedError(Exception):
    """The preview is not wanted any more."""


class _ShowingStylizer(Stylizer):
    """A stylizer that shows the image of each pyramid level when it begins the next one."""

    on_level: Callable[[Tensor], None] | None = None

    def objective(
        self,
        content: Tensor,
        previous: tuple[Tensor, Tensor] | None = None,
        targets: tuple[Any, ...] | None = None,
    ) -> Objective:
        """As of every stylizer."""
        if previous is not None and self.on_level is not None:
            self.on_level(previous[0])
        return super().objective(content, previous, targets)


class Previewer:
    """Paints previews one at a time; a new one stops the one before at its next iteration.

    Features and styles stay loaded. ``step_time`` is what the last preview measured, None before;
    ``working_px`` is the default working size of renders on the device.

    Args:
        device: as for ``choose_device``.

    Raises:
        DeviceError, ValueError: there is no such device.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = choose_device(device)
        self.working_px = default_working_px(self._device)
        self._features: Features | None = None
        self._stylizer: _ShowingStylizer | None = None
        self._styles: dict[tuple[Path, int], Style] = {}
        self._painting, self._loading = Lock(), Lock()
        self._stop: Event | None = None
        self.step_time: StepTime | None = None

    @property
    def features(self) -> Features:
        """The feature extractor, loaded at first use.

        Raises:
            VidstyleError: it cannot be loaded.
        """
        with self._loading:
            if self._features is None:
                self._features = load_features("bundled", str(self._device))
            return self._features

    def stop(self) -> None:
        """Stop the preview that is being painted, if there is one."""
        if self._stop is not None:
            self._stop.set()

    def paint(self, request: PreviewRequest, show: Show, stop: Event) -> None:
        """Paint a frame: ``show`` gets an event for each stage. Called in a thread.

        Args:
            request: what to paint.
            show: is called in the same thread.
            stop: ends the painting when it is set.
        """
        self.stop()
        self._stop = stop
        with self._painting:
            started = time.perf_counter()

            def show_stage(stage: str, image: Image) -> None:
                data = base64.b64encode(jpeg(image)).decode()
                spent = round(time.perf_counter() - started, 3)
                picture = f"data:image/jpeg;base64,{data}"
                show({"stage": stage, "image": picture, "seconds": spent})

            try:
                if not stop.is_set():
                    self._paint(request, show_stage, stop)
                show({"stage": "end"})
            except _StoppedError:
                show({"stage": "end"})
            except (VidstyleError, ValueError, TypeError) as error:
                show({"stage": "error", "message": str(error)})

    def _paint(self, request: PreviewRequest, show: ShowStage, stop: Event) -> None:
        frame = read_frame(request.clip, request.seconds)
        stylizer = self._stylizer_with(request.style, stop)
        quick = replace(request.settings, fast_style_layers=True, patch_weight=0.0)
        small, stylizer.settings = _prepared(frame, quick, COARSE_PX, COARSE_STEPS)
        stylizer.reset()
        show("coarse", stylizer(small).image)
        larger, stylizer.settings = _prepared(frame, request.settings, FINE_PX, FINE_STEPS)
        stylizer.reset()
        source, levels = to_tensor(larger.image, stylizer.features.device), 0

        def show_level(image: Tensor) -> None:
            nonlocal levels
            levels += 1
            if levels > 1:  # the first is the frame itself
                layout = stylizer.output_size(larger.size), stylizer.settings
                show("medium", to_image(compose_output(image, source, larger, *layout)))

        stylizer.on_level = show_level
        started = time.perf_counter()
        image = stylizer(larger).image
        spent = time.perf_counter() - started
        stylizer.on_level = None
        work = sum(width * height for width, height in (each.size for each in stylizer.iterations))
        self.step_time = StepTime(spent / work, request.settings)
        show("fine", image)

    def _stylizer_with(self, path: Path, stop: Event) -> _ShowingStylizer:
        """The stylizer with a style. It ends with ``_StoppedError`` at the first iteration after
        ``stop``."""
        key = path, changed_ns(path)
        if key not in self._styles:
            while len(self._styles) >= KEPT_STYLES:
                del self._styles[next(iter(self._styles))]
            self._styles[key] = Style.from_images([path], self.features)
        style = self._styles[key]
        if self._stylizer is None:
            self._stylizer = _ShowingStylizer(self.features, style)

        def check_stop() -> None:
            if stop.is_set():
                raise _StoppedError

        self._stylizer.style, self._stylizer.on_iteration = style, check_stop
        self._stylizer.on_level = None
        return self._stylizer


def _prepared(
    frame: Frame, settings: Settings, long_side: int, steps: int
) -> tuple[Frame, Settings]:
    """A frame reduced to a long side in px, and settings to paint it at that size."""
    small = Frame(reduced(rgb_8_bits(frame.image), long_side))
    return small, replace(settings, working_size=long_side, initial_steps=steps, compare="no")
