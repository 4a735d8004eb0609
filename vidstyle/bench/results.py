"""Measured figures: one row each, as text, as a Markdown table, and as JSON with the machine."""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch

from .. import __version__
from ..errors import OutputError
from ..io.files import write_file


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Args:
        figure: the label; the key of the row in a JSON file.
        value: in ``unit``.
        unit: of the value and of the target; empty for a ratio or a count.
        target: the range to reach, such as "<= 0.2"; empty if there is no target.
    """

    figure: str
    value: float
    unit: str = ""
    target: str = ""


class AddRow(Protocol):
    """Takes the fields of one more ``Row``."""

    def __call__(self, figure: str, value: float, unit: str = "", target: str = "", /) -> None:
        """Add a row."""


def row_text(row: Row) -> str:
    """A row as one line of plain text."""
    target = f"   (target: {row.target})" if row.target else ""
    return f"{row.figure}: {row.value:.4g} {row.unit}".rstrip() + target


def write_results(path: Path, rows: Sequence[Row], made_on: dict[str, object]) -> None:
    """Write rows as JSON.

    The document is ``{"machine": {...}, "rows": [row, ...]}``; each row is an object with the keys
    ``figure``, ``value``, ``unit`` and ``target``.

    Args:
        path: of the file; an existing file is replaced.
        rows: in the order of the file.
        made_on: what ``machine`` returns, and more if a benchmark adds it.

    Raises:
        OutputError: the file cannot be written.
    """
    document = {"machine": made_on, "rows": [asdict(row) for row in rows]}
    try:
        write_file(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): free some space or choose another place"
        ) from None


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| figure | measured | target |", "|---|---|---|"]
    for row in rows:
        target = f"{row.target} {row.unit if row.target else ''}"
        lines.append(f"| {row.figure} | {row.value:.4g} {row.unit} | {target} |")
    return "\n".join(lines)


def machine(device: torch.device) -> dict[str, object]:
    """Versions, processor, number of threads and device of this machine."""
    return {
        "vidstyle": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def _processor() -> str:
    """The processor's model name; on systems without /proc the name that Python reports."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    return platform.processor()
