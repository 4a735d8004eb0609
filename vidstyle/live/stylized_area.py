"""Masks of the frames of a live session: where they are stylised, regions with styles of their own,
and the faces, which keep more of the content."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..face_choices import KEEP, PAINT
from ..io.frame import Frame
from ..io.mask_file import (
    BACKGROUND,
    PEOPLE,
    PERSON,
    FoundReader,
    MaskFile,
    MaskFinder,
    MaskReader,
    still_reader,
)
from ..runtime.worker import Worker

if TYPE_CHECKING:
    from ..faces import FaceMasks

ALL = "all"

AREAS = ALL, PERSON, BACKGROUND
"""In the order in which a key goes through them."""

DRAWN = "mask"
"""The area of a mask that the user drew, the last one where there is such a mask."""

MASKS_PER_SECOND = 10
"""How often people are looked for at most. A mask counts until the next one: more would take the
time of the optimiser."""

FACES_PER_SECOND = 3
"""The same for faces, which are only emphasised."""

KEPT_LOOKS = 3
"""Number of searches for which a face stays that is not found."""

FILTER_PX = 256
"""Long side in px at which the edges of masks are found: half of that of a render, for speed."""

EARLY = 0.9
"""Fraction of the time from one mask to the next after which it may come: frames do not come at
exact times."""


class StylizedArea:
    """Gives frames the mask of the chosen area, the masks of regions, and emphasis on faces.

    ``with_masks`` is called in the thread that reads the camera, the other methods in any. A model
    that a choice needs first is loaded in a thread of its own; until then frames have no mask.

    Args:
        model: see ``load_person_model``.
        name: one of ``areas``.
        face_model: see ``load_face_model``.
        drawn: a still image, the mask of the area ``DRAWN``; None: there is no such area.
        regions: the masks of the stylizer's regions: of people, or still images.
        faces: one of ``FACES_CHOICES``; ``faces`` is the present one.
    """

    def __init__(
        self,
        model: Path | None = None,
        name: str = ALL,
        face_model: Path | None = None,
        drawn: MaskFile | None = None,
        regions: Sequence[MaskFile] = (),
        faces: str = PAINT,
    ) -> None:
        self._path, self._face_path, self.name = model, face_model, name
        self.faces = faces
        self._drawn, self._regions = drawn, tuple(regions)
        self._readers: dict[str, MaskReader] = {}
        self._region_readers: list[MaskReader] = []
        self._people: MaskFinder | None = None
        self._face_search: _FacesBeside | None = None
        self._loading: set[str] = set()
        self.notify: Callable[[str, bool], None] = lambda text, error: None

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of all areas, in the order in which a key goes through them."""
        return AREAS if self._drawn is None else (*AREAS, DRAWN)

    def load(self) -> None:
        """Load the models and the masks that are needed.

        Raises:
            FeaturesError: see ``load_person_model`` and ``load_face_model``.
            InputError: a mask cannot be read, or is no still image.
        """
        if self.faces == KEEP:
            self._load_faces()
        if self.name in PEOPLE:
            self._load_people()
        if self._drawn is not None and DRAWN not in self._readers:
            self._readers[DRAWN] = still_reader(self._drawn)
        if not self._region_readers:
            self._region_readers = [self._reader_of_region(mask) for mask in self._regions]

    def _load_faces(self) -> None:
        # A camera is opened before PyTorch, which takes longer, is loaded.
        from ..face_models import load_face_model
        from ..faces import FaceMasks

        if self._face_search is None:
            model = load_face_model(self._face_path)
            self._face_search = _FacesBeside(FaceMasks(model, KEPT_LOOKS))

    def _load_people(self) -> MaskFinder:
        """The finder of people, which is loaded once."""
        from ..person import PersonMasks, load_person_model

        if self._people is None:
            masks = PersonMasks(load_person_model(self._path), filter_px=FILTER_PX)
            self._people = _LimitedFinder(masks, MASKS_PER_SECOND)
            for name in PEOPLE:
                self._readers[name] = FoundReader.of_people(self._people, MaskFile(name))
        return self._people

    def _reader_of_region(self, mask: MaskFile) -> MaskReader:
        if str(mask.path) in PEOPLE:
            return FoundReader.of_people(self._load_people(), mask)
        return still_reader(mask)

    def next(self) -> None:
        """Choose the next area."""
        self.choose(self.areas[(self.areas.index(self.name) + 1) % len(self.areas)])

    def choose(self, name: str) -> None:
        """Choose an area; the model is loaded if it is needed."""
        self.name = name
        if name in PEOPLE and self._people is None:
            self._load_later("people", self._load_people, partial(setattr, self, "name", ALL))

    def toggle_faces(self) -> None:
        """Keep faces, or paint them like all else; the model is loaded if it is needed."""
        self.faces = PAINT if self.faces == KEEP else KEEP
        if self.faces == KEEP and self._face_search is None:
            self._load_later("faces", self._load_faces, partial(setattr, self, "faces", PAINT))

    def _load_later(
        self, what: str, load: Callable[[], object], give_up: Callable[[], None]
    ) -> None:
        """Load a model in a thread of its own, unless one does so already."""
        if what in self._loading:
            return
        self._loading.add(what)
        self.notify(f"loading the model that finds {what}", False)

        def run(worker: Worker) -> None:
            try:
                load()
            except Exception as error:  # noqa: BLE001 (the session goes on without masks)
                give_up()
                self.notify(str(error).replace("person_model=", "--person-model "), True)
            finally:
                self._loading.discard(what)

        Worker(run, what)

    def with_masks(self, frame: Frame) -> Frame:
        """The frame with its masks, and with emphasis on faces."""
        if self.faces == KEEP and self._face_search is not None:
            frame = replace(frame, emphasis=self._face_search.emphasis_of(frame))
        if self._region_readers:
            masks = [reader.mask_of(frame) for reader in self._region_readers]
            frame = replace(frame, regions=np.stack(masks))
        reader = self._readers.get(self.name)
        return frame if reader is None else replace(frame, mask=reader.mask_of(frame))

    def close(self) -> None:
        """There are no more frames. Further calls have no effect."""
        if self._face_search is not None:
            self._face_search.close()


class _FacesBeside:
    """Emphasis on faces, which a thread of its own finds: a search takes as long as a frame of the
    camera."""

    def __init__(self, faces: "FaceMasks") -> None:
        self._faces = faces
        self._mask: NDArray[np.uint8] | None = None
        self._worker: Worker | None = None
        self._time, self._closed = -inf, False

    def emphasis_of(self, frame: Frame) -> NDArray[np.uint8] | None:
        """The emphasis of the last frame in which faces were looked for."""
        if self._closed:
            return None
        if self._worker is None:
            self._worker = Worker(self._find, "faces", newest=True)
        now = time.monotonic()
        if now - self._time > EARLY / FACES_PER_SECOND:
            self._time = now
            self._worker.put(frame)
        mask = self._mask
        return mask if mask is not None and mask.shape == frame.image.shape[:2] else None

    def _find(self, worker: Worker) -> None:
        for frame in worker:
            self._mask = self._faces.applied(frame).emphasis

    def close(self) -> None:
        """There are no more frames: those that come nevertheless get no emphasis."""
        self._closed = True
        if self._worker is not None:
            self._worker.finish()
            self._worker = None


class _LimitedFinder:
    """A ``MaskFinder`` that looks for masks a number of times per second at most."""

    def __init__(self, finder: MaskFinder, rate: float) -> None:
        self._finder, self._interval = finder, EARLY / rate
        self.memory_frames = finder.memory_frames
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

    def close(self) -> None:
        """There are no more frames."""
        self._finder.close()
