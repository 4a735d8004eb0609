"""Where the frames of a live session are stylised: everywhere, on people, or behind them."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..io.frame import Frame
from ..io.mask import BACKGROUND, PERSON, MaskFinder
from ..runtime.worker import Worker

log = logging.getLogger(__name__)

ALL = "all"

AREAS = ALL, PERSON, BACKGROUND
"""In the order in which a key goes through them."""

MASKS_PER_SECOND = 10
"""How often people are looked for at most. A mask counts until the next one: more would take the
time of the optimiser."""

FILTER_PX = 256
"""Long side in px at which the edges of masks are found: half of that of a render, for speed."""

INTERVAL_SECONDS = 0.9 / MASKS_PER_SECOND
"""Time from one mask to the next, a little less: frames do not come at exact times."""


class StylizedArea:
    """Gives frames masks of people, or of what is behind them.

    ``with_mask`` is called in the thread that reads the camera, the other methods in any. The model
    is loaded when it is first needed, in a thread of its own; until then frames have no mask.

    Args:
        model: see ``load_person_model``.
        name: one of ``AREAS``.
    """

    def __init__(self, model: Path | None = None, name: str = ALL) -> None:
        self._path, self.name = model, name
        self._masks: MaskFinder | None = None
        self._loading = False
        self._mask: NDArray[np.uint8] | None = None
        self._mask_time = 0.0
        self.notify: Callable[[str, bool], None] = lambda text, error: None

    def load(self) -> None:
        """Load the model.

        Raises:
            FeaturesError: see ``load_person_model``.
        """
        # A camera is opened before PyTorch, which takes longer, is loaded.
        from ..person import PersonMasks, load_person_model

        self._masks = PersonMasks(load_person_model(self._path), filter_px=FILTER_PX)

    def next(self) -> None:
        """Choose the next area."""
        self.choose(AREAS[(AREAS.index(self.name) + 1) % len(AREAS)])

    def choose(self, name: str) -> None:
        """Choose an area; the model is loaded if it is needed."""
        self.name = name
        if name != ALL and self._masks is None and not self._loading:
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

    def with_mask(self, frame: Frame) -> Frame:
        """The frame with the mask of the area that was chosen."""
        masks, name = self._masks, self.name
        if name == ALL or masks is None:
            return frame
        now, size = time.monotonic(), frame.image.shape[:2]
        old = now - self._mask_time > INTERVAL_SECONDS
        if self._mask is None or self._mask.shape != size or old:
            self._mask, self._mask_time = masks.mask_of(frame), now
        return replace(frame, mask=255 - self._mask if name == BACKGROUND else self._mask)
