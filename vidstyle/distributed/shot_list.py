"""The shots of a clip: cuts are found in ranges of the clip, and joined as one pass finds them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise

from ..errors import InputError
from ..face_choices import PAINT
from ..flow.cuts import LOOK_AHEAD_FRAMES, LOOK_BACK_FRAMES, cut_reaches, cuts_among
from ..io.shot_folder import Shot
from ..job import RenderJob
from ..range_render import SEAM_FRAMES

SCAN_MARGIN_SECONDS = Fraction(2)
"""Time in seconds before a range at which decoding begins, so that the frames before it are
known."""

MIN_SCAN_SECONDS = Fraction(20)
"""Duration in seconds below which a range is not worth a seek."""


@dataclass(frozen=True)
class ScanRange:
    """A range of a clip by time, in seconds from the start of the part that is rendered.

    Args:
        begin: of the range; None: the start of the part.
        end: of the range, exclusive; None: the end of the part.
    """

    begin: Fraction | None = None
    end: Fraction | None = None


@dataclass(frozen=True)
class Scan:
    """The frames of a range.

    Args:
        times: of the frames in the range, in seconds, as ``Frame.time`` of the whole part.
        reaches: index in ``times`` -> ``cut_reach``, where it is not 0.
        before: times of the ``LOOK_BACK_FRAMES`` frames before the range.
        after: times of the ``LOOK_AHEAD_FRAMES`` frames after it.
    """

    times: tuple[Fraction, ...]
    reaches: dict[int, int]
    before: tuple[Fraction, ...] = ()
    after: tuple[Fraction, ...] = ()


def scan_ranges(job: RenderJob, count: int) -> list[ScanRange]:
    """Split a clip into at most ``count`` ranges of equal duration, as far as it is known."""
    with job.open_source() as source:
        info = source.format
    if not (info.frames and info.rate) or info.path is None:
        return [ScanRange()]
    duration = info.frames / info.rate
    count = max(1, min(count, int(duration / MIN_SCAN_SECONDS)))
    inner = [duration * number / count for number in range(1, count)]
    bounds = [None, *inner, None]
    return [ScanRange(*pair) for pair in pairwise(bounds)]


def scan(job: RenderJob, part: ScanRange) -> Scan:
    """Decode a range, and compare each frame with its neighbours.

    Raises:
        InputError: the clip cannot be read.
    """
    # Cuts do not depend on these, and people and paintings take longer to find than cuts.
    job = replace(job, mask=None, regions=(), painted=(), keyframes=(), faces=PAINT)
    begin = None
    with job.open_source() as whole:
        start = whole.format.start
    if part.begin is not None:
        begin = start + part.begin - SCAN_MARGIN_SECONDS - whole.format.file_start
    times: list[Fraction] = []
    before: list[Fraction] = []
    after: list[Fraction] = []
    reaches: dict[int, int] = {}
    with job.open_source(begin if begin is not None and begin > 0 else None) as source:
        offset = source.format.start - start
        for frame, reach in cut_reaches(source):
            time = frame.time + offset
            if part.begin is not None and time < part.begin:
                before = [*before, time][-LOOK_BACK_FRAMES:]
            elif part.end is not None and time >= part.end:
                after.append(time)
                if len(after) == LOOK_AHEAD_FRAMES:
                    break
            else:
                if reach:
                    reaches[len(times)] = reach
                times.append(time)
    return Scan(tuple(times), reaches, tuple(before), tuple(after))


def join_scans(scans: Sequence[Scan]) -> Scan | None:
    """The scan of the whole clip; None where neighbouring ranges do not see the same frames, as
    after a seek in a file without reliable timestamps."""
    times: list[Fraction] = []
    reaches: dict[int, int] = {}
    for number, part in enumerate(scans):
        if number and part.before != tuple(times[-LOOK_BACK_FRAMES:]):
            return None
        reaches |= {len(times) + index: reach for index, reach in part.reaches.items()}
        times += part.times
        following = (time for other in scans[number + 1 :] for time in other.times)
        if number + 1 < len(scans) and part.after != tuple(islice(following, LOOK_AHEAD_FRAMES)):
            return None
    return Scan(tuple(times), reaches)


def shots_of(found: Scan, time_base: Fraction, split: int | None = None) -> list[Shot]:
    """The work list of a clip.

    Args:
        found: of the whole clip.
        time_base: unit of its timestamps in seconds.
        split: maximum number of frames of a shot; longer ones are cut into equal parts. None: shots
            stay whole.

    Raises:
        InputError: the clip has no frames.
    """
    if not found.times:
        raise InputError("the clip has no frame that can be decoded: check that it plays elsewhere")
    cuts = [0, *cuts_among(found.reaches), len(found.times)]
    pts: list[int] = []
    for time in found.times:
        pts.append(max(round(time / time_base), (pts[-1] if pts else -1) + 1))
    shots: list[Shot] = []
    for first, stop in pairwise(cuts):
        parts = 1 if split is None else -(-(stop - first) // split)
        for part in range(parts):
            begin, end = (first + (stop - first) * each // parts for each in (part, part + 1))
            last_pts = pts[begin - 1] if begin else -1
            seam = SEAM_FRAMES if part + 1 < parts else 0
            shots.append(Shot(begin, end, found.times[begin], last_pts, seam))
    return shots
