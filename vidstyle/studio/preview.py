"""Previews: one frame of a clip, painted coarse, then fine, while its user watches."""

import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread, current_thread
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..errors import VidstyleError
from ..features.extractor import Features
from ..features.weights import load_features
from ..io.files import changed_ns
from ..io.frame import Frame, Image
from ..io.images import jpeg
from ..losses.objective import Objective
from ..runtime.device import choose_device
from ..settings import PRESETS, Settings
from ..stylizer.output import output_image
from ..stylizer.regions import Region, frame_guides
from ..stylizer.sizes import default_working_px, output_size
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from ..stylizer.timeline import Timeline
from .frames import Recent, recent_frame
from .people import FrameMasks, People
from .preview_request import PreviewRequest, prepared
from .turns import StoppedError, Turn, Turns

COARSE_PX, FINE_PX = 160, 512
"""Long sides in px of the two stages."""

COARSE_STEPS, FINE_STEPS = 8, PRESETS["draft"].initial_steps
"""Iterations of the two stages. The coarse one is seen within half a second on two cores."""

COARSE_LR_GAIN = 2.0
"""Factor of the learning rate of the coarse stage, whose few steps must be long for the
colours to become those of the style."""

CLOSE_SECONDS = 30.0
"""Time in seconds that a painting may take to end after it was stopped."""

KEPT_STYLES = 8
"""Number of styles that stay loaded: an image of 2048 x 2048 px takes 50 MB."""

KEPT_FRAMES = 4
"""Number of frames with masks that are kept: 30 MB each at most."""

KEPT_PAINTINGS = 16
"""Number of optimised images that are kept: 3 MB each."""

Show = Callable[[dict[str, Any]], None]
"""Is called with each event of a preview."""

ShowStage = Callable[[str, Image], None]
"""Is called with the name and the image of each stage."""


class Look(NamedTuple):
    """The style, the settings and the regions of a frame."""

    style: Style
    settings: Settings
    regions: tuple[Region, ...]


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
    _begun = False

    def reset(self) -> None:
        """As of every stylizer."""
        super().reset()
        self._begun = False

    def objective(
        self,
        content: Tensor,
        previous: tuple[Tensor, Tensor] | None = None,
        targets: tuple[Any, ...] | None = None,
    ) -> Objective:
        """As of every stylizer."""
        if self._begun and previous is not None and self.on_level is not None:
            self.on_level(previous[0])
        self._begun = True  # the first image is the frame itself
        return super().objective(content, previous, targets)


class Previewer:
    """Paints previews one at a time, in the order of their requests, but coarse ones before fine
    ones, see ``Turns``. A new one of a window stops the one before of that window at its next
    iteration.

    Features and styles stay loaded, and the last optimised images are kept: a change of what only
    blends them with the frame needs no iteration. ``step_time`` is what the last preview measured,
    None before; ``working_px`` is the default working size of renders on the device.

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
        self._stylizers: dict[bool, _ShowingStylizer] = {}
        self._frames: Recent[Frame] = Recent(KEPT_FRAMES)
        self._styles: Recent[Style] = Recent(KEPT_STYLES)
        self._optimised: OrderedDict[object, Tensor] = OrderedDict()
        self._turns, self._loading, self._changing = Turns(), Lock(), Lock()
        self._wanted: dict[str, Event] = {}
        self._painters: set[Thread] = set()
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

    def join(self) -> None:
        """Wait until all that was stopped has ended: a process that ends while a thread of it is
        within PyTorch aborts."""
        with self._changing:
            painters = list(self._painters)
        for painter in painters:
            painter.join(CLOSE_SECONDS)

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
            self._painters.add(current_thread())
        try:
            yield
            show({"stage": "end"})
        except StoppedError:
            show({"stage": "end"})
        except (VidstyleError, ValueError, TypeError) as error:
            show({"stage": "error", "message": str(error)})
        finally:
            with self._changing:
                self._painters.discard(current_thread())
                if self._wanted.get(window) is stop:
                    del self._wanted[window]

    def turn(self, show: Show, stop: Event, short: bool = False) -> AbstractContextManager[Turn]:
        """The context in which a thread uses ``stylizer_with``; where others take their time first,
        the event ``waiting`` is shown. ``StoppedError`` if it is not wanted any more."""
        return self._turns.turn(stop, lambda: show({"stage": "waiting"}), short)

    def paint(self, request: PreviewRequest, show: Show, stop: Event, window: str = "") -> None:
        """Paint a frame: ``show`` gets an event for each stage. Called in a thread.

        Args:
            request: what to paint.
            show: is called in the same thread.
            stop: ends the painting when it is set.
            window: the preview before of the same window is stopped.
        """
        started = time.perf_counter()

        def show_stage(stage: str, image: Image) -> None:
            spent = round(time.perf_counter() - started, 3)
            show({"stage": stage, "image": data_url(image), "seconds": spent})

        def show_blend(stage: str, image: Tensor) -> None:
            show_stage(stage, _blend(image, frame, look))

        with self.shown(show, stop, window):
            with self.turn(show, stop, short=True) as turn:
                key, look = request.key(), self.look(request)
                given = self.frame(request), look.settings
                frame, settings = prepared(*given, FINE_PX, FINE_STEPS)
                look = look._replace(settings=settings)
                optimised = self._optimised.get(key)
                if optimised is None:
                    show_stage("coarse", self._paint_coarse(frame, look, turn))
            if optimised is None:
                with self.turn(show, stop) as turn:
                    optimised = self._optimise(frame, look, turn, partial(show_blend, "medium"))
                    self._keep(key, optimised)
            show_blend("fine", optimised)

    def _paint_coarse(self, frame: Frame, look: Look, turn: Turn) -> Image:
        quick = replace(
            look.settings,
            fast_style_layers=True,
            patch_weight=0.0,
            learning_rate=min(1.0, look.settings.learning_rate * COARSE_LR_GAIN),
        )
        stylizer = self.stylizer_with(look, turn)
        small, stylizer.settings = prepared(frame, quick, COARSE_PX, COARSE_STEPS)
        return stylizer(small).image

    def _optimise(
        self, frame: Frame, look: Look, turn: Turn, on_level: Callable[[Tensor], None]
    ) -> Tensor:
        """The optimised image of a frame, which is not blended with the frame yet.

        Args:
            frame, look: prepared.
            turn: in which it is made.
            on_level: is called with the image of each finished pyramid level but the last.
        """
        stylizer = self.stylizer_with(look, turn)
        stylizer.settings, stylizer.on_level = look.settings, on_level
        started = time.perf_counter()
        image = stylizer.stylize_reduced(frame, None, look.settings.initial_steps)
        spent = time.perf_counter() - started - turn.paused
        work = sum(width * height for width, height in (each.size for each in stylizer.iterations))
        self.step_time = StepTime(spent / work, look.settings)
        return image

    def _keep(self, key: object, optimised: Tensor) -> None:
        """Keep an optimised image, in place of the oldest one. Called in a turn."""
        self._optimised[key] = optimised
        while len(self._optimised) > KEPT_PAINTINGS:
            self._optimised.popitem(last=False)

    def frame(self, request: PreviewRequest) -> Frame:
        """The frame of a request, with its mask and the masks of its regions; it is kept.

        Raises:
            InputError, FeaturesError: it or a mask cannot be read, or the model of people.
        """

        def make() -> Frame:
            frame = request.with_faces(recent_frame(request.clip, request.seconds))
            masks = FrameMasks(frame, self._people)
            regions = [masks.mask(each.mask) for each in request.regions]
            return replace(
                frame,
                regions=np.stack(regions) if regions else None,
                mask=None if request.mask is None else masks.mask(request.mask),
            )

        return self._frames.get(request.frame_key(), make)

    def look(self, request: PreviewRequest) -> Look:
        """The look that the timeline and the regions give at the time of the frame of a preview."""
        style, settings = self.style(request.style), request.settings
        regions = tuple(
            Region(self._style_or_none(each.style), each.settings, each.called)
            for each in request.regions
        )
        if request.keyframes:
            keyframes = [
                each.with_style(self._style_or_none(each.styles[0] if each.styles else None))
                for each in request.keyframes
            ]
            timeline = Timeline(keyframes, style, settings, regions)
            found = timeline.look(self.frame(request).clip_time)
            style, settings = found.style, replace(settings, **found.settings)
            regions = found.regions
        return Look(style, settings, regions)

    def style(self, path: Path) -> Style:
        """The style of a file; the last ones stay loaded.

        Raises:
            InputError: it cannot be read.
        """
        return self._styles.get(
            (path, changed_ns(path)), lambda: Style.from_images([path], self.features)
        )

    def _style_or_none(self, path: Path | None) -> Style | None:
        return None if path is None else self.style(path)

    def stylizer_with(self, look: Look, turn: Turn) -> _ShowingStylizer:
        """The stylizer with the style and the regions of a look, before a first frame. Between
        iterations it does what ``turn`` asks for, so long turns have another one than short ones.
        """
        if turn.short not in self._stylizers:
            self._stylizers[turn.short] = _ShowingStylizer(self.features, look.style)
        stylizer = self._stylizers[turn.short]
        stylizer.style, stylizer.regions = look.style, look.regions
        stylizer.on_iteration, stylizer.on_level = turn.go_on, None
        stylizer.reset()
        return stylizer


def data_url(image: Image) -> str:
    """An image as a ``data:`` URL of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode()


def _blend(optimised: Tensor, frame: Frame, look: Look) -> Image:
    """An optimised image of a frame as it is shown: with its mask, regions and strength."""
    guides = frame_guides(frame, look.regions, optimised.device)
    size = output_size(look.settings, frame.size)
    return output_image(optimised, frame, size, look.settings, guides)
