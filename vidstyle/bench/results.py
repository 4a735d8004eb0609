"""Measured figures: one row each, as text, as a table, and as a file that also names the machine."""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .. import __version__
from ..errors import OutputError
from ..io.files import write_file


@dataclass(frozen=True)
class Row:
    """One figure. ``target``: what it should be, in words such as "<= 0.2"; empty where nothing was promised."""

    figure: str
    value: float
    unit: str = ""
    target: str = ""


def row_text(row: Row) -> str:
    """A row in a line of plain text."""
    target = f"   (to reach: {row.target})" if row.target else ""
    return f"{row.figure}: {row.value:.4g} {row.unit}".rstrip() + target


def write_results(path: Path, rows: Sequence[Row], made_on: dict[str, object]) -> None:
    """``{"machine": {...}, "rows": [{"figure": ..., "value": ..., "unit": ..., "target": ...}]}``.

    Raises:
        OutputError: it cannot be written.
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
    lines = ["| figure | measured | to reach |", "|---|---|---|"]
    return "\n".join(
        lines
        + [
            f"| {row.figure} | {row.value:.4g} {row.unit} | {row.target} {row.unit if row.target else ''} |"
            for row in rows
        ]
    )


def machine(device: torch.device) -> dict[str, object]:
    """What the figures were taken on."""
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
    """The processor's name where the system tells it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    return platform.processor()
