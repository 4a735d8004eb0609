"""The losses of every iteration of every frame, as JSON and as a plot."""

import json
from fractions import Fraction
from pathlib import Path

from .errors import OutputError, VidstyleError
from .io.files import check_writable, replacing, write_file
from .stylizer.iterations import Iteration

PLOT_ENDINGS = (".png", ".svg", ".pdf")


class Trace:
    """Collects losses frame by frame and writes them to a file.

    ``{"frames": [{"frame": 0, "time": seconds, "iterations": [{"iteration": 1, "size": [w, h],
    "total": ..., "content": ..., "style": ...}]}]}`` as ``.json``, or a plot of the same as
    ``.png``.

    Args:
        path: ends in .json, or in .png, .svg or .pdf for a plot.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, cannot be written, or its ending is not one of these.
        VidstyleError: a plot is wanted and matplotlib is not installed.
    """

    def __init__(self, path: str | Path, overwrite: bool = False) -> None:
        self._path = check_writable(path, overwrite)
        if self._path.suffix.lower() not in (".json", *PLOT_ENDINGS):
            raise OutputError(f"{path}: a trace is written as .json, or as a plot with .png")
        if self._path.suffix.lower() in PLOT_ENDINGS:
            try:
                import matplotlib  # noqa: F401 (asked for now, not after hours of work)
            except ImportError:
                raise VidstyleError(
                    f"the plot {path} needs matplotlib: pip install 'vidstyle[plot]', or use .json"
                ) from None
        self._frames: list[tuple[Fraction, list[Iteration]]] = []

    def add(self, time: Fraction, iterations: list[Iteration]) -> None:
        """Note the iterations of the frame shown at ``time`` (seconds)."""
        self._frames.append((time, iterations))

    def write(self) -> None:
        """Write the file with what was collected so far."""
        try:
            if self._path.suffix.lower() == ".json":
                write_file(self._path, json.dumps(self.as_dict(), indent=1) + "\n")
            else:
                self._plot()
        except OSError as error:
            raise OutputError(
                f"cannot write {self._path} ({error.strerror}): choose another place"
            ) from None

    def as_dict(self) -> dict[str, list[dict[str, object]]]:
        """The trace as plain data; losses are unweighted but for ``total``."""
        return {
            "frames": [
                {
                    "frame": number,
                    "time": float(time),
                    "iterations": [
                        {"iteration": i, "size": iteration.size, **iteration.losses}
                        for i, iteration in enumerate(iterations, 1)
                    ],
                }
                for number, (time, iterations) in enumerate(self._frames)
            ]
        }

    def _plot(self) -> None:
        from matplotlib.figure import Figure

        rows = [iteration for _, iterations in self._frames for iteration in iterations]
        figure = Figure((10, 5), layout="constrained")
        axes = figure.subplots()
        for name in ("total", "content", "style"):
            axes.plot(range(1, len(rows) + 1), [getattr(row, name) for row in rows], label=name)
        begins = 0
        for _, iterations in self._frames[:-1]:
            begins += len(iterations)
            axes.axvline(begins + 0.5, color="0.85", linewidth=0.5, zorder=0)
        axes.set(
            xlabel="iteration (a grey line ends each frame)",
            ylabel="loss",
            yscale="log",
            title="Loss per iteration",
        )
        axes.legend()
        with replacing(self._path) as part:
            figure.savefig(part, format=self._path.suffix[1:].lower())
