"""What users choose about faces, apart from PyTorch, which takes long to load."""

from pathlib import Path

from .errors import SettingValueError

FACES_CHOICES = KEEP, PAINT = "keep", "paint"
"""Whether eyes and mouths keep more of the content, or are stylised like all else."""


def check_faces(faces: str, model: str | Path | None) -> None:
    """Check the choice of a user.

    Raises:
        ValueError: ``faces`` is none of ``FACES_CHOICES``, or a model is given that finds nothing.
    """
    if faces not in FACES_CHOICES:
        raise SettingValueError(
            f"faces is {faces!r}: use one of {', '.join(FACES_CHOICES)}", "faces"
        )
    if faces == PAINT and model is not None:
        raise SettingValueError(
            "faces='paint' looks for no faces: leave out face_model", "faces", "face_model"
        )
