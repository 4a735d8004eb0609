"""The tables of simulated renders on many workers, for benchmarks/table.py."""


def percent(value):
    """A share as text."""
    return f"{100 * value:.0f} %"


def duration(seconds):
    """A time as text, of hours, minutes or seconds."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.{1 if seconds < 600 else 0}f} min"
    return f"{seconds / 3600:.1f} h"


def split_text(bound):
    """How shots are split."""
    return f"{bound} frames" if bound else "whole shots"


def parameters(values):
    """What the simulated workers are."""
    names = (
        ("frame", "a frame", "s", 1),
        ("first_frame", "a first frame, in addition", "s", 1),
        ("start", "start of a worker", "s", 1),
        ("decode", "decoding a frame", "ms", 1000),
        ("cuts", "decoding a frame and comparing it with its neighbours", "ms", 1000),
        ("task", "a task of Ray", "ms", 1000),
        ("join", "joining a segment", "ms", 1000),
        ("frame_bytes", "size of a stylised frame", "kB", 0.001),
    )
    hardware = values["document"]["hardware"]
    lines = ["| of a worker | " + " | ".join(each["name"] for each in hardware) + " |"]
    lines.append("|---" * (1 + len(hardware)) + "|")
    for name, title, unit, factor in names:
        cells = " | ".join(f"{factor * each[name]:.3g} {unit}" for each in hardware)
        lines.append(f"| {title} | {cells} |")
    return lines


def workers(values):
    """Utilisation and time by number of workers, whole and split."""
    rows = values["document"]["by_workers"]
    bounds_shown = list(dict.fromkeys(row["bound"] for row in rows))
    titles = [f"{split_text(bound)} | efficiency | time" for bound in bounds_shown]
    lines = [f"| hardware, workers | {' | '.join(titles)} |", "|---" * (1 + 3 * len(titles)) + "|"]
    for hardware, count in dict.fromkeys((row["hardware"], row["workers"]) for row in rows):
        cells = []
        for bound in bounds_shown:
            without, failing = (
                row
                for row in rows
                if (row["hardware"], row["workers"], row["bound"]) == (hardware, count, bound)
            )
            cells += [
                f"{percent(without['utilisation'])} ({percent(failing['utilisation'])})",
                percent(failing["efficiency"]),
                duration(failing["seconds"]),
            ]
        lines.append(f"| {hardware}, {count:,} | {' | '.join(cells)} |")
    return lines


def bounds(values):
    """Renders on the largest cluster by bound."""
    lines = [
        "| hardware, 1,000 workers | tasks | utilisation | efficiency | render time | joining |",
        "|---|---|---|---|---|---|",
    ]
    for row in values["document"]["by_bound"]:
        lines.append(
            f"| {row['hardware']}, {split_text(row['bound'])} | {row['tasks']:.0f} "
            f"| {percent(row['utilisation'])} | {percent(row['efficiency'])} "
            f"| {duration(row['seconds'])} | {duration(row['joining'])} |"
        )
    return lines


def frame_times(values):
    """Utilisation on the largest cluster by seconds per frame."""
    rows = values["document"]["by_frame_time"]
    bounds_shown = list(dict.fromkeys(row["bound"] for row in rows))
    lines = [
        "| first frame in the ratio of, seconds per frame | "
        + " | ".join(map(split_text, bounds_shown))
        + " |",
        "|---" * (1 + len(bounds_shown)) + "|",
    ]
    for hardware, frame in dict.fromkeys((row["hardware"], row["frame"]) for row in rows):
        found = [row for row in rows if (row["hardware"], row["frame"]) == (hardware, frame)]
        cells = " | ".join(
            f"{percent(row['utilisation'])}, {duration(row['seconds'])}" for row in found
        )
        lines.append(f"| {hardware}, {frame:g} s | {cells} |")
    return lines


def lengths(values):
    """Renders of several films on the largest cluster."""
    lines = ["| hardware, shots | utilisation | efficiency | render time |", "|---|---|---|---|"]
    for row in values["document"]["by_length"]:
        lines.append(
            f"| {row['hardware']}, {split_text(row['bound'])} | {percent(row['utilisation'])} "
            f"| {percent(row['efficiency'])} | {duration(row['seconds'])} |"
        )
    return lines
