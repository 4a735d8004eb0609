"""The contact sheet of a frame: small paintings of it in several styles."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import NamedTuple

from ..sheet import SHEET_STEPS, cell_px
from .preview import Previewer, Show, data_url
from .preview_request import PreviewRequest, prepared


class SheetRequest(NamedTuple):
    """What to paint: a frame of a clip in each of some styles.

    Args:
        frame: of the clip, with the settings, keyframes, regions and mask of all cells. Each style
            stands in the place of the one that it has at its time.
        styles: id and file of each.
    """

    frame: PreviewRequest
    styles: Sequence[tuple[str, Path]]


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
        frame = previewer.frame(request.frame)
        keyframes = [
            each if each.region else replace(each, styles=()) for each in request.frame.keyframes
        ]
        wanted = request.frame._replace(keyframes=tuple(keyframes))
        count = len(request.styles)
        px = cell_px(frame.size, count)
        for number, (style, path) in enumerate(request.styles, 1):
            with previewer.turn(show, stop) as turn:
                look = previewer.look(wanted._replace(style=path))
                stylizer = previewer.stylizer_with(look, turn)
                small, stylizer.settings = prepared(frame, look.settings, px, SHEET_STEPS)
                image = data_url(stylizer(small).image)
            show({"stage": "cell", "style": style, "image": image, "done": number, "total": count})
