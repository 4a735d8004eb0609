"""A live session: stylises a camera's frames, shows them, and executes keys and commands.

Frames are stylised in one thread; the main thread shows them and reads keys (``display``). Whatever
changes the stylizer is queued, and executed between two frames by the thread that stylises.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from queue import Empty, Full, Queue
from typing import Any

from ..errors import VidstyleError
from ..io.frame import Image
from ..io.images import write_image
from ..pipeline import Report
from ..runtime.worker import Worker
from ..stylizer.regions import Region, style_size
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .camera import CameraStatus, LiveSource
from .commands import check_command, with_current_names
from .controls import Controls
from .display import KEEPS_UP_SHARE, Display
from .filenames import is_unused, unused_name
from .keys import KEYS
from .messages import Messages
from .output import Output
from .presets import Presets
from .rate_control import FrameRateController
from .recorder import Recorder
from .startup import LiveOptions, SessionClosed
from .window import Window

MAX_PENDING_COMMANDS = 1000
"""Number of commands that may wait for the next frame."""

ADVICE_SECONDS = 12.0
"""Seconds after which viewers are told that few frames are stylised: the start takes as long."""


class Session:
    """State of a live session: the display, modes, recorder, pending commands.

    ``pipeline.run`` calls the session after each frame and regularly while it waits for one;
    meanwhile the main thread calls ``refresh`` again and again. ``state`` is JSON-compatible data
    about the last frame and the controls, replaced with each frame.

    Args:
        options: frame rate, durations, recording.
        source: the camera.
        stylizer: has the first style.
        styles: (name, style).
        window: preview window; None: no window.
        outputs: further receivers of the frames; they are opened here and closed by ``close``.
    """

    def __init__(
        self,
        options: LiveOptions,
        source: LiveSource,
        stylizer: Stylizer,
        styles: Sequence[tuple[str, Style]],
        window: Window | None = None,
        outputs: Sequence[Output] = (),
    ) -> None:
        self._options, self._source, self._stylizer = options, source, stylizer
        self.messages = Messages()
        source.area.notify = self.messages.add
        self.recorder = Recorder(
            replace(source.format, rate=None),
            notify=self.messages.add,
            microphone=options.microphone,
            start_time=lambda: source.start_time,
        )
        if options.microphone is not None:
            options.microphone.notify = self.messages.add
        self._writer = Worker(self.recorder.send_all, "writer")
        self.display = Display(source, window, outputs, self.overlay, self._writer.put)
        self._rate_controller = FrameRateController(options.fps, options.max_steps)
        self.controls = Controls(
            stylizer, styles, source, self._rate_controller, options.crossfade_seconds
        )
        self._rate_controller.restart(stylizer, source.format.size)
        self._report = Report()
        self._start_time = time.monotonic()
        self._advised = False
        self._pending: Queue[Callable[[], None]] = Queue(MAX_PENDING_COMMANDS)
        self.actions: Mapping[str, Callable[[], None]] = {
            **self.controls.actions,
            **self.display.actions,
            "snapshot": self._save_snapshot,
            "record": self._toggle_recording,
            "quit": self._quit,
        }
        self.presets = Presets(self.controls, options.presets)
        self._dispatch(self.presets.load)
        self._commands: Mapping[str, Callable[[Any], None]] = {
            "blend": self.controls.blend,
            "style": self.controls.select,
            "preset": self.presets.apply,
            "set": lambda parameters: self.controls.set(**parameters),
            "save_preset": self.presets.save,
            "remove_preset": self.presets.remove,
            "do": lambda name: self.actions[name](),
        }
        self.state: dict[str, Any] = self.controls.state()
        if options.record is not None:
            self.recorder.start(options.record, overwrite=True)
        for output in outputs:
            output.open(self)

    def __call__(self, stylizer: Stylizer, report: Report) -> None:
        """Take a stylised frame; then execute pending commands.

        Raises:
            SessionClosed: the user quit.
        """
        if report.frames > self._report.frames and report.frame is not None and report.source:
            self._report = replace(report)
            self.display.add(report.source, report.frame, time.monotonic())
            fps = self._options.fps
            self._rate_controller.target_fps = min(fps, self._source.rate or fps)
            self._rate_controller.adjust(stylizer, report)
            self.controls.advance_crossfade()
            self.state = self._build_state()
        self._execute_pending()

    def refresh(self) -> None:
        """Show the camera's newest frame, and take a key press. Only on the main thread.

        Raises:
            SessionClosed: the user quit, or the session's duration is over.
        """
        now = time.monotonic()
        if self.display.refresh(now):
            self.state = self._build_state()
        if not self._advised and now - self._start_time > ADVICE_SECONDS:
            self._advised = True
            self._advise()
        key = self.display.window.key() if self.display.window is not None else None
        if key in KEYS:
            action = self.actions[KEYS[key]]
            # What changes the stylizer waits for the end of its frame.
            if KEYS[key] in self.controls.actions:
                action = partial(self._enqueue, action)
            self._dispatch(action)
        seconds = self._options.seconds
        if seconds is not None and now - self._start_time > seconds:
            raise SessionClosed

    @property
    def camera_status(self) -> CameraStatus:
        """ "ok", "silent" (open, but without frames) or "lost" (cannot be read or opened)."""
        return self._source.status

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the camera's last frame arrived."""
        return self._source.seconds_since_frame

    def command(self, command: Mapping[str, Any]) -> None:
        """Queue a command, which is executed before the next frame. Thread-safe.

        Args:
            command: see ``commands``. Names of version 0.1 work, with a warning.

        Raises:
            ValueError: the command is not valid, and no part of it is executed. The message is one
                line for users.
        """
        current = with_current_names(command)
        check_command(current, self.actions, self.controls.names, self.presets.names_to_be)
        if "save_preset" in current:
            self.presets.announce(current["save_preset"])
        for key in self._commands:
            if key in current:
                self._enqueue(partial(self._commands[key], current[key]))

    def blend(self, weights: Sequence[float], seconds: float) -> None:
        """Queue a crossfade to a blend of styles that has its own duration. Thread-safe.

        Args:
            weights: one per style, not normalised.
            seconds: duration of the crossfade.

        Raises:
            ValueError: too many commands are pending.
        """
        self._enqueue(partial(self.controls.blend, weights, seconds))

    def change_regions(self, regions: Sequence[Region]) -> None:
        """Queue new styles and settings of the regions, as many as before. Thread-safe.

        Raises:
            ValueError: too many commands are pending.
        """
        self._enqueue(partial(setattr, self._stylizer, "regions", tuple(regions)))

    def add_style(self, name: str, image: Image) -> None:
        """Analyse a style image on the calling thread; crossfade to it before the next frame.

        Raises:
            VidstyleError: the image cannot be used as a style.
            ValueError: too many commands are pending.
        """
        style = Style.from_images([image], self._stylizer.features)
        prepare_styles([style], self._stylizer, self._source.format.size)
        self._enqueue(lambda: self.controls.add_style(name, style))

    def status(self) -> dict[str, Any]:
        """Return ``state``, with camera status and messages, which change between frames too.

        Thread-safe.
        """
        return {
            **self.state,
            "presets": self.presets.state(self.state),
            "camera": self.camera_status,
            "seconds_since_frame": round(self.seconds_since_frame, 2),
            "messages": [
                {"number": message.number, "text": message.text, "error": message.error}
                for message in self.messages.recent()
            ],
        }

    def _enqueue(self, action: Callable[[], None]) -> None:
        try:
            self._pending.put_nowait(action)
        except Full:
            message = f"{MAX_PENDING_COMMANDS} commands are pending: send fewer"
            raise ValueError(message) from None

    def _execute_pending(self) -> None:
        with suppress(Empty):  # all of them are executed
            while True:
                self._dispatch(self._pending.get_nowait())

    def _dispatch(self, action: Callable[[], None]) -> None:
        """Execute an action. An error, such as a full disk, becomes a message."""
        try:
            action()
        except (VidstyleError, ValueError) as error:
            self.messages.add(str(error), error=True)

    def overlay(self) -> list[str]:
        """Return the lines of text that the window shows over the frame."""
        display, latency_ms = self.display, 1000 * self.display.timings.latency()
        figures = f"{display.timings.fps():.1f} fps  {latency_ms:.0f} ms"
        figures += f"  {display.stylized_fps:.1f} stylised" if not display.keeps_up() else ""
        figures += f"  {len(self._report.iterations)} steps"
        camera = [] if self.camera_status == "ok" else [f"camera {self.camera_status}"]
        note = [self._rate_controller.note] * bool(self._rate_controller.note)
        modes = [*["recording"] * self.recorder.running, *["frozen"] * display.frozen]
        messages = self.messages.on_screen()
        return [f"{figures}  {self.controls.name}", *camera, *note, *modes, *messages]

    def _advise(self) -> None:
        """Tell viewers what would help, if few of the wanted frames are stylised."""
        wanted, fps = self._rate_controller.target_fps, self.display.stylized_fps
        if not 0 < fps < KEEPS_UP_SHARE * wanted:
            return
        on_cpu = self._stylizer.features.device.type == "cpu"
        remedy = "a GPU" if on_cpu else "a smaller --working-size"
        self.messages.add(
            f"{fps:.0f} of {wanted:.0f} frames per second are stylised, the others are warped from "
            f"them: {remedy} stylises more"
        )

    def _build_state(self) -> dict[str, Any]:
        report, display = self._report, self.display
        return {
            **self.controls.state(),
            "frames": report.frames,
            "dropped": report.dropped,
            "fps": round(display.timings.fps(), 2),
            "stylized_fps": round(display.stylized_fps, 2),
            "latency_ms": round(1000 * display.timings.latency(), 1),
            "steps": len(report.iterations),
            "loss": finite_loss(report),
            "working_px": max(self._stylizer.working_size(self._source.format.size)),
            "note": self._rate_controller.note,
            "recording": self.recorder.running,
            "freeze": display.frozen,
            "side_by_side": display.side_by_side,
        }

    def _quit(self) -> None:
        raise SessionClosed

    def _save_snapshot(self) -> None:
        if self.display.image is None:
            self.messages.add("no snapshot was saved: there is no frame yet", error=True)
            return
        path = unused_name("png")
        write_image(path, self.display.image)
        self.messages.add(f"snapshot: {path.absolute()}")

    def _toggle_recording(self) -> None:
        if self.recorder.running:
            self.recorder.stop()
            return
        wanted = self._options.record
        path = wanted if wanted is not None and is_unused(wanted) else unused_name("mp4")
        self.recorder.start(path)

    def close(self) -> None:
        """Close the outputs and the window, and wait until recordings are complete.

        Raises:
            VidstyleError: a recording could not be written.
        """
        with ExitStack() as closed:  # from last to first, and each although another one fails
            closed.callback(self._writer.raise_error)
            closed.callback(self.recorder.close)
            if self.display.window is not None:
                closed.callback(self.display.window.close)
            for output in reversed(self.display.outputs):
                closed.callback(output.close)
            closed.callback(self.recorder.stop)
            closed.callback(self._writer.finish)


def prepare_styles(
    styles: Sequence[Style], stylizer: Stylizer, frame_size: tuple[int, int]
) -> None:
    """Compute the styles' Gram matrices in advance, so that changing to a style takes no time.

    Args:
        styles: their Gram matrices are cached in them.
        stylizer: its settings say the layers and the size.
        frame_size: (width, height) of the camera's frames in px.
    """
    settings, features = stylizer.settings, stylizer.features
    size = style_size(settings, stylizer.working_size(frame_size))
    fast = settings.fast_style_layers
    layers = features.fast_style_layers if fast else features.style_layers
    for style in styles:
        style.grams(size, settings.style_layers or layers)


def finite_loss(report: Report) -> float | None:
    """Return the last loss of a frame; None without one, or if JSON cannot represent it."""
    loss = report.iterations[-1].total if report.iterations else math.nan
    return loss if math.isfinite(loss) else None
