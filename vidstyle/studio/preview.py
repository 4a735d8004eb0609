"""Previews: one frame of a clip, painted coarse, then fine, while its user watches."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..errors import VidstyleError
from ..features.extractor import Features
from ..features.weights import load_features
from ..io.files import changed_ns
from ..io.frame import Frame, Image, rgb_8_bits
from ..io.images import jpeg
from ..io.mask_file import MaskFile, fit_mask
from ..keyframes import KeyframeEntry
from ..losses.objective import Objective
from ..ops.tensors import to_image, to_tensor
from ..regions import RegionEntry
from ..runtime.device import choose_device
from ..settings import PRESETS, Settings
from ..stylizer.output import compose_output
from ..stylizer.regions import Region
from ..stylizer.sizes import default_working_px
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from ..stylizer.timeline import Keyframe, Timeline
from .frames import read_frame, reduced
from .people import FrameMasks, People
from .turns import StoppedError, Turns

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
    """What to paint: a frame of a clip in a style.

    Args:
        clip: file.
        seconds: time of the frame.
        style: file.
        settings: of the render.
        keyframes, regions: of the render, in which each keyframe has one style at most.
        mask: where the frame is painted; None: all of it.
    """

    clip: Path
    seconds: float
    style: Path
    settings: Settings
    keyframes: tuple[KeyframeEntry, ...] = ()
    regions: tuple[RegionEntry, ...] = ()
    mask: MaskFile | None = None


class StepTime(NamedTuple):
    """What an iteration took, measured by a preview.

    Args:
        seconds: for each pixel.
        settings: of the preview.
    """

    seconds: float
    settings: Settings


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

    def composed(self, image: Tensor, source: Tensor, frame: Frame) -> Image:
        """An optimised image of a frame as it is shown: with its mask, regions and strength."""
        layout = self.output_size(frame.size), self.settings, self._guides
        return to_image(compose_output(image, source, frame, *layout))


class Previewer:
    """Paints previews one at a time, in the order of their requests; a new one of a window stops
    the one before of that window at its next iteration.

    Features and styles stay loaded. ``step_time`` is what the last preview measured, None before;
    ``working_px`` is the default working size of renders on the device.

    Args:
        device: as for ``choose_device``.
        people: finds people.

    Raises:
        DeviceError, ValueError: there is no such device.
    """

    def __init__(self, device: str, people: People) -> None:
        self._people = people
        self._device = choose_device(device)
        self.working_px = default_working_px(self._device)
        self._features: Features | None = None
        self._stylizer: _ShowingStylizer | None = None
        self._styles: dict[tuple[Path, int], Style] = {}
        self._turns, self._loading, self._changing = Turns(), Lock(), Lock()
        self._wanted: dict[str, Event] = {}
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
        """Stop all that is being painted, or waits."""
        with self._changing:
            for stop in self._wanted.values():
                stop.set()

    @contextmanager
    def shown(self, show: Show, stop: Event, window: str) -> Iterator[None]:
        """The context of a painting: it stops the one before of the same window, and shows its own
        end or error.

        Args:
            show: gets the last event.
            stop: ends the painting when it is set.
            window: name of what shows it.
        """
        with self._changing:
            if before := self._wanted.get(window):
                before.set()
            self._wanted[window] = stop
        try:
            yield
            show({"stage": "end"})
        except StoppedError:
            show({"stage": "end"})
        except (VidstyleError, ValueError, TypeError) as error:
            show({"stage": "error", "message": str(error)})
        finally:
            with self._changing:
                if self._wanted.get(window) is stop:
                    del self._wanted[window]

    def turn(self, show: Show, stop: Event) -> AbstractContextManager[None]:
        """The context in which a thread uses ``stylizer_with``; if another one does, the event
        ``waiting`` is shown first. ``StoppedError`` if it is not wanted any more."""
        return self._turns.turn(stop, lambda: show({"stage": "waiting"}))

    def paint(self, request: PreviewRequest, show: Show, stop: Event, window: str = "") -> None:
        """Paint a frame: ``show`` gets an event for each stage. Called in a thread.

        Args:
            request: what to paint.
            show: is called in the same thread.
            stop: ends the painting when it is set.
            window: the preview before of the same window is stopped.
        """
        with self.shown(show, stop, window), self.turn(show, stop):
            started = time.perf_counter()

            def show_stage(stage: str, image: Image) -> None:
                spent = round(time.perf_counter() - started, 3)
                show({"stage": stage, "image": data_url(image), "seconds": spent})

            self._paint(request, show_stage, stop)

    def _paint(self, request: PreviewRequest, show: ShowStage, stop: Event) -> None:
        frame = self.frame(request)
        style, settings = self.look(request)
        stylizer = self.stylizer_with(style, stop)
        stylizer.regions = self.regions(request)
        quick = replace(settings, fast_style_layers=True, patch_weight=0.0)
        small, stylizer.settings = prepared(frame, quick, COARSE_PX, COARSE_STEPS)
        stylizer.reset()
        show("coarse", stylizer(small).image)
        larger, stylizer.settings = prepared(frame, settings, FINE_PX, FINE_STEPS)
        stylizer.reset()
        source, levels = to_tensor(larger.image, stylizer.features.device), 0

        def show_level(image: Tensor) -> None:
            nonlocal levels
            levels += 1
            if levels > 1:  # the first is the frame itself
                show("medium", stylizer.composed(image, source, larger))

        stylizer.on_level = show_level
        started = time.perf_counter()
        image = stylizer(larger).image
        spent = time.perf_counter() - started
        stylizer.on_level = None
        work = sum(width * height for width, height in (each.size for each in stylizer.iterations))
        self.step_time = StepTime(spent / work, settings)
        show("fine", image)

    def frame(self, request: PreviewRequest) -> Frame:
        """The frame of a request, with its mask and the masks of its regions.

        Raises:
            InputError, FeaturesError: it or a mask cannot be read, or the model of people.
        """
        frame = read_frame(request.clip, request.seconds)
        masks = FrameMasks(frame, request.seconds, self._people)
        regions = [masks.mask(each.mask) for each in request.regions]
        return replace(
            frame,
            regions=np.stack(regions) if regions else None,
            mask=None if request.mask is None else masks.mask(request.mask),
        )

    def regions(self, request: PreviewRequest) -> tuple[Region, ...]:
        """The regions of a request, with their styles."""
        return tuple(
            Region(self._style_or_none(each.style), each.settings) for each in request.regions
        )

    def look(self, request: PreviewRequest) -> tuple[Style, Settings]:
        """The style and the settings that the timeline gives at the time of a preview."""
        style, settings = self.style(request.style), request.settings
        if not request.keyframes:
            return style, settings
        keyframes = [
            Keyframe(
                each.time,
                self._style_or_none(each.styles[0] if each.styles else None),
                each.settings,
                each.fade,
                each.easing,
            )
            for each in request.keyframes
        ]
        look = Timeline(keyframes, style, settings).look(Fraction(request.seconds))
        return look.style, replace(settings, **look.settings)

    def style(self, path: Path) -> Style:
        """The style of a file; the last ones stay loaded.

        Raises:
            InputError: it cannot be read.
        """
        key = path, changed_ns(path)
        if key not in self._styles:
            while len(self._styles) >= KEPT_STYLES:
                del self._styles[next(iter(self._styles))]
            self._styles[key] = Style.from_images([path], self.features)
        return self._styles[key]

    def _style_or_none(self, path: Path | None) -> Style | None:
        return None if path is None else self.style(path)

    def stylizer_with(self, style: Style, stop: Event) -> _ShowingStylizer:
        """The stylizer with a style, and without regions. It ends with ``StoppedError`` at the
        first iteration after ``stop``."""
        if self._stylizer is None:
            self._stylizer = _ShowingStylizer(self.features, style)

        def check_stop() -> None:
            if stop.is_set():
                raise StoppedError

        self._stylizer.style, self._stylizer.on_iteration = style, check_stop
        self._stylizer.on_level, self._stylizer.regions = None, ()
        return self._stylizer


def data_url(image: Image) -> str:
    """An image as a ``data:`` URL of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode()


def prepared(
    frame: Frame, settings: Settings, long_side: int, steps: int
) -> tuple[Frame, Settings]:
    """A frame reduced to a long side in px, and settings to paint it at that size."""
    image = reduced(rgb_8_bits(frame.image), long_side)
    size = image.shape[1], image.shape[0]
    mask, regions = frame.mask, frame.regions
    small = Frame(
        image,
        mask=None if mask is None else fit_mask(mask, size),
        regions=None if regions is None else np.stack([fit_mask(each, size) for each in regions]),
    )
    return small, replace(settings, working_size=long_side, initial_steps=steps, compare="no")
