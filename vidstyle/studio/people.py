"""Masks of single frames: of files, and of people, whom a model finds where there is one."""

from pathlib import Path

from ..features.pretrained import lraspp_cache
from ..io.frame import Frame
from ..io.mask_file import PEOPLE, FoundReader, MaskFile, fit_mask
from ..io.mask_levels import Mask
from ..person import PersonMasks, load_person_model
from .frames import read_mask

REMEDY = (
    "no model of people is here: start vidstyle studio with --person-model FILE, or run vidstyle "
    "render CLIP STYLE --mask person once, which downloads one"
)


class People:
    """The model of people of a studio.

    Args:
        model: file, see ``load_person_model``; None: torchvision's, if it was downloaded before.

    Raises:
        FeaturesError: the file cannot be read, or is of another kind.
    """

    def __init__(self, model: Path | None = None) -> None:
        self.model = model and model.absolute()
        if model is not None:
            load_person_model(self.model)

    @property
    def missing(self) -> str:
        """What to do to have a model; "" where there is one."""
        return "" if self.model or lraspp_cache().exists() else REMEDY

    def masks(self) -> PersonMasks:
        """What finds people in frames.

        Raises:
            FeaturesError: the model cannot be read.
        """
        return PersonMasks(load_person_model(self.model))


class FrameMasks:
    """The masks of one frame of a clip. People are found in this frame alone, once.

    Args:
        frame: of the clip, with its time from the first frame.
        people: finds people.
    """

    def __init__(self, frame: Frame, people: People) -> None:
        self._frame, self._people = frame, people
        self._found: PersonMasks | None = None

    def mask(self, mask: MaskFile) -> Mask:
        """(H, W) uint8 of the size of the frame, for a file or a name of ``PEOPLE``.

        Raises:
            InputError: the file has no frame that can be read.
            FeaturesError: the model of people cannot be read.
        """
        if str(mask.path) not in PEOPLE:
            found = read_mask(Path(mask.path), float(self._frame.time))
            return fit_mask(found, self._frame.size)
        self._found = self._found or self._people.masks()
        return FoundReader.of_people(self._found, mask).mask_of(self._frame)
