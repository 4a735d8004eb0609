"""A set list: a timeline that changes styles, parameters and regions during a live session."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..io.frame import Image
from ..keyframes import KeyframeEntry
from ..stylizer.keyframe import STYLE, Keyframe, check_order
from ..stylizer.regions import Region
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer
from ..stylizer.timeline import Timeline
from ..stylizer.tracks import SettingTrack
from .commands import PARAMETERS, check_parameters, check_weights

TIMED_PARAMETERS = "strength", "style_scale", "temporal_weight"
"""Settings that a set list may change."""

REGION_FADE = Fraction(1, 2)
"""Duration in seconds of the shortest fade of a region's style: a frame of a live session has too
few iterations for another style at once."""


class SetList:
    """An ``Output`` that sends the commands of a timeline when their time has come.

    Keys and the control page still work: what they change stays until the next keyframe.

    Args:
        entries: in the order of their times, which count from the first frame; those of regions
            need ``load_regions`` before the session begins.
        styles: files of the session's styles, in its order; those of the entries are among them,
            except of regions.
        clock: seconds.

    Raises:
        ValueError: keyframes out of order, or a setting that cannot change during a session.
    """

    def __init__(
        self,
        entries: Sequence[KeyframeEntry],
        styles: Sequence[Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_regions = [entry for entry in entries if entry.region is not None]
        entries = [entry for entry in entries if entry.region is None]
        for entry in entries:
            _check(entry)
        check_order([entry.time for entry in entries])
        self._pending, self._styles, self._clock = list(entries), list(styles), clock
        self._keyframes: list[Keyframe] = []
        self._begun = 0
        self._regions: tuple[Region, ...] | None = None
        self._of_frame = [entry.with_style(None) for entry in entries]
        self._start: float | None = None
        self._before: dict[str, float] = {}
        self._sent: dict[str, Any] = {}

    def load_regions(self, stylizer: Stylizer) -> list[Style]:
        """Load the keyframes of regions, and return their styles.

        Args:
            stylizer: of the session; it has the regions before the first keyframe.

        Raises:
            InputError, ValueError: see ``make_timeline``.
        """
        loaded = [entry.loaded(stylizer.features) for entry in self._of_regions]
        self._keyframes = [
            replace(each, fade=max(each.fade, REGION_FADE)) if each.changes(STYLE) else each
            for each in loaded
        ]
        self._stylizer, self._first_regions = stylizer, stylizer.regions
        self._restart_timeline()
        return [each.style for each in loaded if each.style is not None]

    def _restart_timeline(self) -> None:
        """The timeline of the regions, which fade from the present style of the frame."""
        stylizer = self._stylizer
        now = self._keyframes, stylizer.style, stylizer.settings
        self._timeline = Timeline(*now, self._first_regions)

    def open(self, session: Any) -> None:
        """Note the session and its parameters at the start."""
        self._session = session
        settings = session.controls.state()["settings"]
        # Flags may have set values that a command may not.
        limits = {name: PARAMETERS[name] for name in TIMED_PARAMETERS}
        self._before = {
            name: min(max(settings[name], low), high) for name, (low, high) in limits.items()
        }

    def show(self, image: Image) -> None:
        """Send the commands that are due; none before the first stylised frame."""
        if self._session.display.image is None:  # this is a slate: no camera has given a frame yet
            return
        if self._start is None:
            self._start = self._clock()
        with suppress(ValueError):  # too many commands wait: it is sent with a later image
            self._send(Fraction(self._clock() - self._start))

    def _send(self, now: Fraction) -> None:
        """Send the commands that are due. ValueError: too many wait."""
        while self._pending and self._pending[0].time <= now:
            entry = self._pending[0]
            for name in entry.settings:
                self._sent.pop(name, None)
            if entry.styles:
                self._session.blend(self._weights(entry), float(entry.fade))
            del self._pending[0]
        begun = [keyframe for keyframe in self._of_frame if keyframe.time <= now]
        named = {name for keyframe in begun for name in keyframe.settings}
        values = {
            name: SettingTrack(name, begun, self._before[name]).at(now) for name in sorted(named)
        }
        changed = {name: value for name, value in values.items() if self._sent.get(name) != value}
        if changed:
            self._session.command({"set": changed})
            self._sent |= changed
        self._send_regions(now)

    def _send_regions(self, now: Fraction) -> None:
        """Send the regions if they have changed."""
        begun = sum(keyframe.time <= now for keyframe in self._keyframes)
        if not begun:
            return
        if begun > self._begun:
            self._restart_timeline()
            self._begun = begun
        regions = self._timeline.look(now).regions
        if regions != self._regions:
            self._session.change_regions(regions)
            self._regions = regions

    def close(self) -> None:
        """Nothing is open."""

    def _weights(self, entry: KeyframeEntry) -> list[float]:
        """The blend weight of each style of the session."""
        weights = [0.0] * len(self._session.controls.styles)
        for path, weight in zip(
            entry.styles, entry.style_weights or (1.0,) * len(entry.styles), strict=True
        ):
            weights[self._styles.index(path)] += weight
        return weights


def _check(entry: KeyframeEntry) -> None:
    """Raise ValueError for what a session would refuse when the time of the keyframe has come."""
    where = f"the keyframe at {float(entry.time):g} s"
    for name in entry.settings:
        if name not in TIMED_PARAMETERS:
            raise ValueError(
                f"{where}: {name} cannot change during a live session: use one of "
                f"{', '.join(TIMED_PARAMETERS)}"
            )
    longest = PARAMETERS["crossfade_seconds"][1]
    if entry.styles and entry.fade > longest:
        raise ValueError(f"{where}: a style fades within {longest:g} s at most: shorten the fade")
    try:
        check_parameters(dict(entry.settings))
        if entry.styles:
            check_weights(entry.style_weights or (1.0,) * len(entry.styles), len(entry.styles))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
