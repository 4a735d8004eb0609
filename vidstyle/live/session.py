"""A live session: stylises a camera's frames, shows them, and executes keys and commands."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from queue import Empty, Full, Queue
from typing import Any

import cv2
import numpy as np

from ..errors import VidstyleError
from ..flow.methods import FlowMethod
from ..io.frame import Image
from ..io.images import write_image
from ..pipeline import Report, run
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from .camera import CameraStatus, LiveSource
from .commands import check_command, with_current_names
from .controls import Controls
from .filenames import is_unused, unused_name
from .keys import HELP, KEYS
from .latency_stamp import draw_stamp
from .messages import Messages
from .output import Output
from .rate_control import FrameRateController
from .recorder import Recorder
from .slate import SlateGenerator
from .startup import LiveOptions, SessionClosed
from .timing import FrameTimings
from .window import Window

log = logging.getLogger(__name__)

MAX_PENDING_COMMANDS = 1000
"""Number of commands that may wait for the next frame."""


class Session:
    """State of a live session: the frame shown, modes, recorder, pending commands.

    ``pipeline.run`` calls the session on the main thread, after each frame and regularly while it
    waits for one. ``state`` is JSON-compatible data about the last frame and the controls, replaced
    with each frame.

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
        self.window, self._outputs = window, outputs
        self.messages = Messages()
        source.area.notify = self.messages.add
        self.recorder = Recorder(replace(source.format, rate=None), notify=self.messages.add)
        self._rate_controller = FrameRateController(options.fps, options.max_steps)
        self.controls = Controls(
            stylizer, styles, source, self._rate_controller, options.crossfade_seconds
        )
        self._slates = SlateGenerator(source)
        self._frame_count = 0
        self._start_time = time.monotonic()
        self.timings = FrameTimings()
        self._frozen = self._show_help = self._side_by_side = self._stamped = False
        self._image: Image | None = None
        self._pending: Queue[Callable[[], None]] = Queue(MAX_PENDING_COMMANDS)
        self.actions: Mapping[str, Callable[[], None]] = {
            **self.controls.actions,
            "side_by_side": lambda: self._toggle("_side_by_side"),
            "freeze": lambda: self._toggle("_frozen"),
            "help": lambda: self._toggle("_show_help"),
            "latency_stamp": lambda: self._toggle("_stamped"),
            "snapshot": self._save_snapshot,
            "record": self._toggle_recording,
            "quit": self._quit,
        }
        self.state: dict[str, Any] = self.controls.state()
        if options.record is not None:
            self.recorder.start(options.record, overwrite=True)
        for output in outputs:
            output.open(self)

    def __call__(self, stylizer: Stylizer, report: Report) -> None:
        """Show a new frame, or a slate; then execute key presses and pending commands.

        Raises:
            SessionClosed: the user quit, or the session's duration is over.
        """
        if report.frames > self._frame_count and report.frame is not None:
            self._frame_count = report.frames
            captured = self._source.start_time + float(report.frame.time)
            self.timings.add(time.monotonic(), captured)
            fps = self._options.fps
            self._rate_controller.target_fps = min(fps, self._source.rate or fps)
            self._rate_controller.adjust(stylizer, report)
            self.controls.advance_crossfade()
            self._show_frame(report)
            self.state = self._build_state(report)
        elif not self._frozen:
            self._show_slate(report)
        key = self.window.key() if self.window is not None else None
        if key is not None:
            self.press(key)
        self._execute_pending()
        seconds = self._options.seconds
        if seconds is not None and time.monotonic() - self._start_time > seconds:
            raise SessionClosed

    @property
    def camera_status(self) -> CameraStatus:
        """ "ok", "silent" (open, but without frames) or "lost" (cannot be read or opened)."""
        return self._source.status

    @property
    def seconds_since_frame(self) -> float:
        """Seconds since the camera's last frame arrived."""
        return self._source.seconds_since_frame

    def press(self, key: str) -> None:
        """Execute the action of a key; a key without one is ignored. Only on the main thread.

        Raises:
            SessionClosed: the key ends the session.
        """
        if key in KEYS:
            self._dispatch(self.actions[KEYS[key]])

    def command(self, command: Mapping[str, Any]) -> None:
        """Queue a command, which is executed before the next frame. Thread-safe.

        Args:
            command: any of ``do`` (one of ``actions``), ``set`` (as for ``Controls.set``) and
                ``blend`` (one weight per style). Names of version 0.1 work, with a warning.

        Raises:
            ValueError: the command is not valid, and no part of it is executed. The message is one
                line for users.
        """
        current = with_current_names(command)
        check_command(current, self.actions, len(self.controls.styles))
        if "blend" in current:
            self._enqueue(lambda: self.controls.blend(current["blend"]))
        if "set" in current:
            self._enqueue(lambda: self.controls.set(**current["set"]))
        if "do" in current:
            self._enqueue(self.actions[current["do"]])

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
        try:
            while True:
                self._dispatch(self._pending.get_nowait())
        except Empty:
            pass

    def _dispatch(self, action: Callable[[], None]) -> None:
        """Execute an action. An error, such as a full disk, becomes a message."""
        try:
            action()
        except (VidstyleError, ValueError) as error:
            self.messages.add(str(error), error=True)

    def _show_frame(self, report: Report) -> None:
        if report.frame is None or (self._frozen and self._image is not None):
            image = self._image
        elif self._side_by_side and report.source is not None:
            stylized = report.frame.image[..., :3]
            size, source = report.frame.size, report.source.image[..., :3]
            scaled = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
            image = np.concatenate([scaled, stylized], 1)
        else:
            image = report.frame.image
        if image is None:
            return
        if image is not self._image:
            for output in self._outputs:
                output.show(draw_stamp(image) if self._stamped else image)
        self._image = image
        self._show_in_window(image, report)

    def _show_slate(self, report: Report) -> None:
        """Show the camera's status instead of a frame, as long as the camera gives no frames."""
        image = self._slates.next_slate(None if self._image is None else self._image.shape[1::-1])
        if image is None:
            return
        for output in self._outputs:
            output.show(image)
        self._show_in_window(image, report)
        self.state = self._build_state(report)

    def _show_in_window(self, image: Image, report: Report) -> None:
        if self.window is not None:
            self.window.show(image, HELP if self._show_help else self.overlay(report))

    def overlay(self, report: Report) -> list[str]:
        """Return the lines of text that the window shows over the frame."""
        fps, latency_ms = self.timings.fps(), 1000 * self.timings.latency()
        figures = f"{fps:.1f} fps  {latency_ms:.0f} ms  {len(report.iterations)} steps"
        camera = [] if self.camera_status == "ok" else [f"camera {self.camera_status}"]
        note = [self._rate_controller.note] * bool(self._rate_controller.note)
        modes = [*["recording"] * self.recorder.running, *["frozen"] * self._frozen]
        messages = self.messages.on_screen()
        return [f"{figures}  {self.controls.name}", *camera, *note, *modes, *messages]

    def _build_state(self, report: Report) -> dict[str, Any]:
        return {
            **self.controls.state(),
            "frames": report.frames,
            "dropped": report.dropped,
            "fps": round(self.timings.fps(), 2),
            "latency_ms": round(1000 * self.timings.latency(), 1),
            "steps": len(report.iterations),
            "loss": finite_loss(report),
            "working_px": max(self._stylizer.working_size(self._source.format.size)),
            "note": self._rate_controller.note,
            "recording": self.recorder.running,
            "freeze": self._frozen,
            "side_by_side": self._side_by_side,
        }

    def _toggle(self, attribute: str) -> None:
        setattr(self, attribute, not getattr(self, attribute))

    def _quit(self) -> None:
        raise SessionClosed

    def _save_snapshot(self) -> None:
        if self._image is None:
            self.messages.add("no snapshot was saved: there is no frame yet", error=True)
            return
        path = unused_name("png")
        write_image(path, self._image)
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
        self.recorder.stop()
        for output in self._outputs:
            output.close()
        if self.window is not None:
            self.window.close()
        self.recorder.close()


def live(
    session: Session, source: LiveSource, stylizer: Stylizer, flow: FlowMethod | None = None
) -> None:
    """Run a session until the user quits or the source ends; then log a summary of its timing.

    Raises:
        VidstyleError: a recording cannot be written, or the camera cannot be read any more.
    """
    try:
        run(source, stylizer, [session.recorder], session, flow)
    except SessionClosed:
        pass
    finally:
        session.close()
    summary = session.timings.summary()
    if summary:
        log.info("%s", summary)


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
    size_px = round(max(stylizer.working_size(frame_size)) * settings.style_scale)
    fast = settings.fast_style_layers
    layers = features.fast_style_layers if fast else features.style_layers
    for style in styles:
        style.grams(size_px, settings.style_layers or layers)


def finite_loss(report: Report) -> float | None:
    """Return the last loss of a frame; None without one, or if JSON cannot represent it."""
    loss = report.iterations[-1].total if report.iterations else math.nan
    return loss if math.isfinite(loss) else None
