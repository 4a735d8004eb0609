"""The devices of a studio: which of them a render gets."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ..runtime.device import choose_device


class Devices:
    """Devices that compute some renders at once each.

    Args:
        names: of the devices, as for ``choose_device``.
        parallel: number of renders at once on each.
    """

    def __init__(self, names: Sequence[str] = ("auto",), parallel: int = 1) -> None:
        self.names, self._parallel = tuple(names), parallel

    def free(self, running: Iterable[str], needed: str = "") -> str:
        """The device that a render gets: of those with room, the one with the fewest renders.

        Args:
            running: the device of each render that runs.
            needed: the only device that it may have; "": any.

        Returns:
            "" where it has to wait.
        """
        busy = Counter(running)
        fitting = [needed] if needed else self.names
        fewest = min(fitting, key=lambda name: busy[name])
        return fewest if busy[fewest] < self._parallel else ""

    def absence(self, name: str) -> str:
        """What to do for a render that began on a device which is not among these; "" else."""
        if name in self.names:
            return ""
        remedy = f"start vidstyle studio with --device {name}, or start a new render"
        return f"the render began on {name}, which is not used now: {remedy}"


def device_names(text: str) -> list[str]:
    """The names of devices that are separated by commas, ``auto`` by the one that it means.

    Raises:
        ValueError: no such name, or one of them twice.
        DeviceError: this machine has no such device.
    """
    names = [str(choose_device(name.strip())) for name in text.split(",")]
    places = ["cuda:0" if name == "cuda" else name for name in names]
    if twice := [name for name in places if places.count(name) > 1]:
        raise ValueError(f"--device names {twice[0]} twice: name each device once")
    return names
