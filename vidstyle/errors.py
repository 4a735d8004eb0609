"""The exceptions that vidstyle raises on purpose.

    VidstyleError           one line: what is wrong, and a remedy
    +-- InputError          a clip or an image that cannot be read
    +-- OutputError         a file that cannot be written
    +-- FeaturesError       weights that are missing, damaged or of the wrong kind
    +-- DeviceError         a device that does not exist
        +-- DeviceMemoryError   a device that ran out of memory

    SettingValueError       a ValueError about a setting, such as a negative weight
    SettingTypeError        a TypeError about a setting

A ``VidstyleError`` is about the world: files, devices, other programs. A wrong call raises
``ValueError`` or ``TypeError``, as everywhere in Python. Messages name settings and arguments as
Python spells them (``working_size``, ``overwrite=True``) and list these names in ``settings``, so
that the command line can print its own flags instead (``--working-size``, ``-y``).
"""


class VidstyleError(Exception):
    """Base class of all errors about the world. ``str(error)`` is one line: the trouble and a
    remedy.

    Args:
        text: the message.
        settings: names of the settings and arguments that the message mentions.
    """

    def __init__(self, text: str, *settings: str) -> None:
        super().__init__(printable(text))
        self.settings = settings


class InputError(VidstyleError):
    """A clip or an image cannot be read."""


class OutputError(VidstyleError):
    """A file cannot be written."""


class FeaturesError(VidstyleError):
    """Feature weights are missing, damaged or of the wrong kind."""


class DeviceError(VidstyleError):
    """The device does not exist here, or ran out of memory."""


class DeviceMemoryError(DeviceError):
    """The device ran out of memory."""


class SettingValueError(ValueError):
    """A setting has a value out of its range.

    Args:
        text: the message.
        settings: names of the settings and arguments that the message mentions.
    """

    def __init__(self, text: str, *settings: str) -> None:
        super().__init__(text)
        self.settings = settings


class SettingTypeError(TypeError):
    """A setting has a value of the wrong type.

    Args:
        text: the message.
        settings: names of the settings and arguments that the message mentions.
    """

    def __init__(self, text: str, *settings: str) -> None:
        super().__init__(text)
        self.settings = settings


def printable(text: str) -> str:
    """A text in one line: file names, and messages of other programs, may hold newlines or terminal
    control codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
