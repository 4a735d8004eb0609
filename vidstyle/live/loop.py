"""The loop of a live session: frames are stylised in a thread, and shown in the main thread."""

import logging
from threading import Event

from ..flow.methods import FlowMethod
from ..optim.adam import do_nothing
from ..pipeline import run
from ..runtime.device import one_core_left
from ..runtime.interrupts import check
from ..runtime.worker import Worker
from ..stylizer.stylizer import Stylizer
from .camera import LiveSource
from .session import Session
from .startup import SessionClosed

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.01
"""Interval in seconds at which keys are read while the camera gives no frame."""


def live(
    session: Session, source: LiveSource, stylizer: Stylizer, flow: FlowMethod | None = None
) -> None:
    """Run a session until the user quits or the source ends; then log a summary of its timing.

    Raises:
        VidstyleError: a recording cannot be written, or the camera cannot be read any more.
    """
    closing = Event()

    def end_if_closing() -> None:
        if closing.is_set():
            raise SessionClosed

    def stylize(_: Worker) -> None:
        run(source, stylizer, [], session, flow)

    stylizer.on_iteration = end_if_closing
    with one_core_left(stylizer.features.device):
        painter = Worker(stylize, "stylizer")
        try:
            while painter.is_alive():
                check()
                source.arrived.wait(REFRESH_SECONDS)
                source.arrived.clear()
                session.refresh()
            session.refresh()
        except SessionClosed:
            pass  # the user ended the session, which is no error
        finally:
            closing.set()
            source.stop()
            painter.join()
            stylizer.on_iteration = do_nothing
            session.close()
    if not isinstance(painter.error, SessionClosed):
        painter.raise_error()
    summary = session.display.timings.summary()
    if summary:
        log.info("%s", summary)
