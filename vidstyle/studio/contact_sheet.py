"""The contact sheet of a frame: small paintings of it in several styles."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple

from ..settings import Settings
from ..sheet import SHEET_STEPS, cell_px
from .frames import read_frame
from .preview import Previewer, Show, data_url, prepared


class SheetRequest(NamedTuple):
    """What to paint: a frame of a clip in each of some styles.

    Args:
        clip: file.
        seconds: time of the frame.
        styles: id and file of each.
        settings: of all of them.
    """

    clip: Path
    seconds: float
    styles: Sequence[tuple[str, Path]]
    settings: Settings


def paint_sheet(
    previewer: Previewer, request: SheetRequest, show: Show, stop: Event, window: str
) -> None:
    """Paint a contact sheet: ``show`` gets an event for each style. Called in a thread.

    Each style is a turn of its own, so that previews come in between.

    Args:
        previewer: paints.
        request: what to paint.
        show: is called in the same thread.
        stop: ends the painting when it is set.
        window: the sheet before of the same window is stopped.
    """
    with previewer.shown(show, stop, f"sheet of {window}"):
        frame = read_frame(request.clip, request.seconds)
        count = len(request.styles)
        px = cell_px(frame.size, count)
        for number, (style, path) in enumerate(request.styles, 1):
            with previewer.turn(show, stop):
                stylizer = previewer.stylizer_with(previewer.style(path), stop)
                small, stylizer.settings = prepared(frame, request.settings, px, SHEET_STEPS)
                stylizer.reset()
                image = data_url(stylizer(small).image)
            show({"stage": "cell", "style": style, "image": image, "done": number, "total": count})
