"""Painted keyframes: frames painted by hand or by another program, from which a clip is stylised.

Each is warped to the frames near to it (as in EbSynth, Jamriska et al. 2019), and the objective
holds them to it. Where it does not show what a frame shows, the style fills in.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .flow.correspondence import MAX_FRAMES, Correspondence, correspondences
from .flow.methods import FlowMethod, dis_flow
from .io.files import in_home
from .io.frame import Frame, to_8_bits
from .io.images import read_image
from .io.mapped_source import mapped
from .io.source import Source
from .io.stream_info import VideoInfo
from .time_text import parse_time

log = logging.getLogger(__name__)

ASPECT_TOLERANCE = 0.02
"""Relative difference of aspect ratios from which a painted keyframe does not belong to a clip."""

SLOWEST_RATE = 10
"""Frames per second of a clip of unknown rate, for the part that is read around a keyframe."""

HANDOVER = 0.3, 0.7
"""Share of the time between two keyframes at which the second one begins to replace the first, and
at which it has replaced it."""

MIN_ALPHA = 1 / 255
"""Alpha, in [0, 1], below which an image shows nothing."""

BLEEDING_PX = 32.0, 8.0, 2.0
"""Standard deviations of the blurs by which colours go on under transparent parts, in px."""

OpenPart = Callable[[Fraction, Fraction], AbstractContextManager[Source]]
"""Opens a part of a clip, from a time to a time in seconds; its frames have ``source_time``."""


@dataclass(frozen=True)
class PaintedKeyframe:
    """A painting of one frame of a clip.

    Args:
        time: of the frame, in seconds from the start of the clip: the first frame at or after it.
        path: image of the whole frame, of any size; where it is transparent it does not count.
    """

    time: Fraction
    path: Path

    def recipe(self) -> dict[str, object]:
        """The keyframe with the file's name alone, as JSON can hold it."""
        return {"time": float(self.time), "image": self.path.name}

    def absolute(self) -> "PaintedKeyframe":
        """The same keyframe with its absolute path, for other processes."""
        return replace(self, path=self.path.absolute())


def parse_painted_keyframes(texts: Iterable[str] | None) -> tuple[PaintedKeyframe, ...]:
    """Painted keyframes of texts such as ``0:03=painted.png``.

    Raises:
        ValueError: a text of another form, or two keyframes of one time.
    """
    given = []
    for text in texts or ():
        time, equals, path = text.partition("=")
        if not equals or not path:
            raise ValueError(f"{text!r} is not TIME=IMAGE: write --keyframe 0:03=painted.png")
        given.append((time, in_home(path)))
    return painted_keyframes(given)


def painted_keyframes(given: Iterable[tuple[object, str | Path]]) -> tuple[PaintedKeyframe, ...]:
    """Painted keyframes in the order of their times, of pairs of time and path.

    Raises:
        ValueError: no time, or two keyframes of one time.
    """
    made = sorted(
        (PaintedKeyframe(parse_time(time), Path(path)) for time, path in given),
        key=lambda keyframe: keyframe.time,
    )
    if len({keyframe.time for keyframe in made}) < len(made):
        raise ValueError("two painted keyframes have the same time: give each its own")
    return tuple(made)


def with_painted_keyframes(
    source: Source,
    keyframes: Sequence[PaintedKeyframe],
    open_part: OpenPart,
    method: FlowMethod | None = None,
) -> Source:
    """A source whose frames have ``Frame.painted``. It is closed if a keyframe cannot be used.

    Args:
        source: its frames have ``source_time``.
        keyframes: in the order of their times.
        open_part: opens a part of the same clip, which is read around each keyframe.
        method: optical flow method; None: DIS.

    Raises:
        InputError: an image cannot be read, or has another aspect ratio than the clip.
    """
    try:
        images = [_read(keyframe.path, source.format) for keyframe in keyframes]
    except BaseException:
        source.close()
        raise
    reader = _PaintedReader(keyframes, images, open_part, source.format.rate, method or dis_flow)
    return mapped(source, lambda frame: replace(frame, painted=reader.painted(frame)), reader)


def _read(path: Path, info: VideoInfo) -> NDArray[np.uint8]:
    """The painted keyframe, RGBA, of the size of the clip, rotated as the clip is stored.

    Raises:
        InputError: see ``with_painted_keyframes``.
    """
    image = np.rot90(to_8_bits(read_image(path)), -(info.rotation // 90))
    height, width = image.shape[:2]
    across, down = info.size
    if abs(width * down / (height * across) - 1) > ASPECT_TOLERANCE:
        raise InputError(
            f"{path} is {width}x{height}, another shape than the clip's {across}x{down}: paint a "
            "whole frame, such as one that --preview TIME writes",
            "keyframe",
        )
    if image.shape[2] == 3:
        image = np.dstack([image, np.full((height, width), 255, np.uint8)])
    image = _with_bled_colors(np.ascontiguousarray(image))
    way = cv2.INTER_AREA if width > across else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), info.size, interpolation=way).astype(np.uint8)


class _StoppedError(Exception):
    """The source was stopped while correspondences were computed."""


class _PaintedReader:
    """Warps painted keyframes to the frames of a clip, in order.

    The correspondences around a keyframe are computed when the first frame near to it comes, and
    given up behind the last one.
    """

    def __init__(
        self,
        keyframes: Sequence[PaintedKeyframe],
        images: Sequence[NDArray[np.uint8]],
        open_part: OpenPart,
        rate: Fraction | None,
        method: FlowMethod,
    ) -> None:
        self._keyframes, self._images = keyframes, images
        self._open_part, self._method = open_part, method
        # One more second, since the times of some clips jump.
        self._reach = MAX_FRAMES / (rate or Fraction(SLOWEST_RATE)) + 1
        self._found: dict[int, Mapping[Fraction, Correspondence]] = {}
        self._closed = False

    def painted(self, frame: Frame) -> NDArray[np.uint8] | None:
        """The painted keyframes, warped to a frame: RGBA, the alpha is how much they count."""
        time = frame.clip_time
        weighted = [
            (correspondence.warped(self._images[number]), weight)
            for number, weight in self._weights(time)
            if (correspondence := self._correspondence(number, time)) is not None
        ]
        if not weighted or self._closed:
            return None
        image = weighted[0][0] if len(weighted) == 1 else _blended(weighted)
        if image.shape[:2] != frame.image.shape[:2]:  # frames of some clips have several sizes
            image = cv2.resize(image, frame.size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return image

    def stop(self) -> None:
        """End the search for correspondences, in another thread."""
        self._closed = True

    close = stop

    def _weights(self, time: Fraction) -> list[tuple[int, float]]:
        """The keyframe before a time and that after it, each with its weight."""
        times = [keyframe.time for keyframe in self._keyframes]
        after = next((n for n, each in enumerate(times) if each > time), len(times))
        if after in (0, len(times)):
            return [(min(after, len(times) - 1), 1.0)]
        share = float((time - times[after - 1]) / (times[after] - times[after - 1]))
        start, end = HANDOVER
        second = min(1.0, max(0.0, (share - start) / (end - start)))
        return [(after - 1, 1 - second), (after, second)]

    def _correspondence(self, number: int, time: Fraction) -> Correspondence | None:
        keyframe = self._keyframes[number]
        if number not in self._found:
            if abs(keyframe.time - time) > self._reach:
                return None
            self._found[number] = self._search(keyframe)
        for old in [n for n, found in self._found.items() if found and max(found) < time]:
            if old != number:
                self._found[old] = {}
        return self._found[number].get(time)

    def _search(self, keyframe: PaintedKeyframe) -> Mapping[Fraction, Correspondence]:
        at = float(keyframe.time)
        log.info("painted keyframe at %.2f s: following the motion around it", at)
        start, stop = max(Fraction(0), keyframe.time - self._reach), keyframe.time + self._reach
        try:
            with self._open_part(start, stop) as part:
                found = correspondences(
                    part, partial(_is_at, keyframe.time), self._method, self._check
                )
        except _StoppedError:
            return {}
        if found:
            seconds = float(min(found)), float(max(found))
            log.info("painted keyframe at %.2f s: spreads from %.2f s to %.2f s", at, *seconds)
        else:
            log.warning("the clip has no frame at %.2f s: its painting is not used", at)
        return found

    def _check(self) -> None:
        if self._closed:
            raise _StoppedError


def _is_at(time: Fraction, frame: Frame) -> bool:
    return frame.clip_time >= time


def _blended(images: Sequence[tuple[NDArray[np.uint8], float]]) -> NDArray[np.uint8]:
    """Two images, RGBA, blended by their weights, which sum to 1.

    Where one of them is transparent, the other one takes its share.
    """
    (first, first_weight), (second, second_weight) = images
    alphas = [image[..., 3:].astype(np.float32) / 255 for image in (first, second)]
    shares = [
        alphas[0] * (first_weight + second_weight * (1 - alphas[1])),
        alphas[1] * (second_weight + first_weight * (1 - alphas[0])),
    ]
    total = shares[0] + shares[1]
    colors = shares[0] * first[..., :3] + shares[1] * second[..., :3]
    color = (colors / np.maximum(total, MIN_ALPHA)).round().astype(np.uint8)
    alpha = (255 * np.minimum(total, 1)).round().astype(np.uint8)
    return np.dstack([color, alpha])


def _with_bled_colors(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image, RGBA, whose opaque colours go on under its transparent parts.

    Otherwise resampling would mix colours that nobody sees, mostly black, into the edges.
    """
    colors, alpha = image[..., :3].astype(np.float32), image[..., 3:].astype(np.float32) / 255
    if (alpha == 1).all():
        return image
    for sigma in BLEEDING_PX:
        around, share = (
            cv2.GaussianBlur(values, (0, 0), sigma).reshape(*alpha.shape[:2], -1)
            for values in (colors * alpha, alpha)
        )
        empty = (alpha < MIN_ALPHA) & (share >= MIN_ALPHA)
        colors = np.where(empty, around / np.maximum(share, MIN_ALPHA), colors)
    return np.dstack([colors.round(), image[..., 3]]).astype(np.uint8)
