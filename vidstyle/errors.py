"""Everything that can go wrong in the world, as opposed to in a call.

    VidstyleError           one line: what was wrong, and what to do about it
    +-- InputError          a clip or picture that cannot be read
    +-- OutputError         a file that cannot be written
    +-- FeaturesError       weights that are missing, damaged or of another kind
    +-- DeviceError         no such device, or it ran out of memory

A wrong call (a negative weight, an unknown layer) is a ``ValueError`` or ``TypeError`` as everywhere in Python.
"""


class VidstyleError(Exception):
    """Base of all errors of the world. ``str(error)`` is one line that names the trouble and the remedy."""

    def __init__(self, text: str) -> None:
        # Names of files, and what is said in them, may hold new lines or what a terminal takes for an order.
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in text))


class InputError(VidstyleError):
    """A clip or picture cannot be read."""


class OutputError(VidstyleError):
    """A file cannot be written."""


class FeaturesError(VidstyleError):
    """Feature weights are missing, damaged or of another kind."""


class DeviceError(VidstyleError):
    """The device does not exist here, or ran out of memory."""
