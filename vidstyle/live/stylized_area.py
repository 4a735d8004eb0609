"""Where the frames of a live session are stylised: everywhere, on people, or behind them; and the
faces, which keep more of the content."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..io.frame import Frame
from ..io.mask import BACKGROUND, PERSON, MaskFinder
from ..runtime.worker import Worker

ALL = "all"

AREAS = ALL, PERSON, BACKGROUND
"""In the order in which a key goes through them."""

MASKS_PER_SECOND = 10
"""How often people are looked for at most. A mask counts until the next one: more would take the
time of the optimiser."""

FACES_PER_SECOND = 3
"""The same for faces, which are only emphasised."""

FILTER_PX = 256
"""Long side in px at which the edges of masks are found: half of that of a render, for speed."""

EARLY = 0.9
"""Fraction of the time from one mask to the next after which it may come: frames do not come at
exact times."""


class StylizedArea:
    """Gives frames masks of people, or of what is behind them, and emphasis on faces.

    ``with_masks`` is called in the thread that reads the camera, the other methods in any. The
    model of people is loaded when it is first needed, in a thread of its own; until then frames
    have no mask.

    Args:
        model: see ``load_person_model``.
        name: one of ``AREAS``.
        face_model: see ``load_face_model``; None: faces are like all else.
    """

    def __init__(
        self, model: Path | None = None, name: str = ALL, face_model: Path | None = None
    ) -> None:
        self._path, self._face_path, self.name = model, face_model, name
        self._people: _LimitedFinder | None = None
        self._faces: _LimitedFinder | None = None
        self._loading = False
        self.notify: Callable[[str, bool], None] = lambda text, error: None

    def load(self) -> None:
        """Load the models that are needed.

        Raises:
            FeaturesError: see ``load_person_model`` and ``load_face_model``.
        """
        # A camera is opened before PyTorch, which takes longer, is loaded.
        from ..faces import FaceMasks, load_face_model
        from ..person import PersonMasks, load_person_model

        if self._face_path and self._faces is None:
            self._faces = _LimitedFinder(
                FaceMasks(load_face_model(self._face_path)), FACES_PER_SECOND
            )
        if self.name != ALL and self._people is None:
            masks = PersonMasks(load_person_model(self._path), filter_px=FILTER_PX)
            self._people = _LimitedFinder(masks, MASKS_PER_SECOND)

    def next(self) -> None:
        """Choose the next area."""
        self.choose(AREAS[(AREAS.index(self.name) + 1) % len(AREAS)])

    def choose(self, name: str) -> None:
        """Choose an area; the model is loaded if it is needed."""
        self.name = name
        if name != ALL and self._people is None and not self._loading:
            self._loading = True
            self.notify("loading the model that finds people", False)
            Worker(self._load_later, "person")

    def _load_later(self, worker: Worker) -> None:
        try:
            self.load()
        except Exception as error:  # noqa: BLE001 (the session goes on without masks)
            self.name = ALL
            self.notify(str(error).replace("person_model=", "--person-model "), True)
        finally:
            self._loading = False

    def with_masks(self, frame: Frame) -> Frame:
        """The frame with the mask of the area that was chosen, and emphasis on faces."""
        people, faces, name = self._people, self._faces, self.name
        if faces is not None:
            frame = replace(frame, emphasis=faces.mask_of(frame))
        if name == ALL or people is None:
            return frame
        mask = people.mask_of(frame)
        return replace(frame, mask=255 - mask if name == BACKGROUND else mask)


class _LimitedFinder:
    """Looks for masks a number of times per second at most."""

    def __init__(self, finder: MaskFinder, rate: float) -> None:
        self._finder, self._interval = finder, EARLY / rate
        self._mask: NDArray[np.uint8] | None = None
        self._time = 0.0

    def mask_of(self, frame: Frame) -> NDArray[np.uint8]:
        """The mask of a frame, or the last one."""
        now = time.monotonic()
        if (
            self._mask is None
            or self._mask.shape != frame.image.shape[:2]
            or now - self._time > self._interval
        ):
            self._mask, self._time = self._finder.mask_of(frame), now
        return self._mask
