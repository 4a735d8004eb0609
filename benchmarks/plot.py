"""Plot the results: python benchmarks/plot.py (needs matplotlib)

docs/curve.png: gap against flicker, one panel per clip, one point per number of iterations.
docs/time.png: time of a frame against its pixels.
docs/scaling.png: utilisation of simulated workers against their number, and against the bound.
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

from vidstyle import Settings

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CLIPS = ("object", "pan", "light")
STEPS = (1, 2, 4, 8, 16)
SIZES = ("320x180", "640x360", "1280x720")
TIMED = (1, 16)
INITIAL_STEPS = Settings().initial_steps
TICKS = (0, 10, 20, 50, 100, 200, 500)
NAIVE = ", previous frame, fresh Adam"
LINES = (("", "vidstyle", "C0"), (NAIVE, "naive warm start", "C1"))


def draw(values):
    """The figure, from figure names and their values."""
    figure = Figure((11, 4), layout="constrained")
    for axes, clip in zip(
        figure.subplots(1, len(CLIPS), sharex=True, sharey=True), CLIPS, strict=True
    ):
        for words, label, colour in LINES:
            gaps, flickers, seconds = (
                [values[f"{clip}, {steps} steps: {name}{words}"] for steps in STEPS]
                for name in ("objective gap", "flicker", "median time per frame")
            )
            axes.plot(gaps, flickers, "o-", label=label, color=colour)
            for steps, gap, flicker, time in zip(STEPS, gaps, flickers, seconds, strict=True):
                note(
                    axes,
                    f"{steps}\n{time:.1f} s" if words == "" and steps in TIMED else str(steps),
                    (gap, flicker),
                    colour,
                )
        cold_start = (
            values[f"{clip}: objective gap of cold starts"],
            values[f"{clip}: flicker of cold starts, last two frames"],
        )
        axes.plot(*cold_start, "*", label="every frame from scratch", color="C2", markersize=10)
        seconds = values[f"{clip}: time of a cold start"]
        note(axes, f"{INITIAL_STEPS}\n{seconds:.0f} s", cold_start, "C2")
        axes.set(title=clip, xlabel="gap to L*, %", yscale="log", xlim=(-8, 500), ylim=(8e-7, 6e-2))
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("flicker (mean squared)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(
        "At each point: iterations (and seconds) per frame; a naive iteration takes as long as one "
        "of vidstyle. Lower left is better.",
        fontsize=9,
    )
    return figure


def note(axes, text, point, colour):
    """Write a small label above a point."""
    axes.annotate(
        text, point, (0, 6), textcoords="offset points", fontsize=6.5, color=colour, ha="center"
    )


def draw_times(values):
    """Median time of a frame against its pixels, for each preset and precision."""
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    for preset, colour in (("draft", "C0"), ("standard", "C1")):
        for precision, style in (("fp32", "o--"), ("auto", "o-")):
            words = f"bundled, auto, {precision}, {preset}"
            times = [values[f"{size}, {words}: median time per frame"] for size in SIZES]
            exponent = values[f"{words}: exponent of time against pixels"]
            dtype = "bf16" if precision == "auto" else precision
            label = f"{preset}, {dtype}: pixels to the power of {exponent:.2f}"
            axes.plot([pixels(size) for size in SIZES], times, style, color=colour, label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="pixels",
        ylabel="ms per frame",
        title="Time of a frame, two CPU cores",
    )
    axes.set_xticks([pixels(size) for size in SIZES], [size.replace("x", " x ") for size in SIZES])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def draw_scaling(document):
    """Utilisation against the number of workers, and against the bound of split shots."""
    names = [each["name"] for each in document["hardware"]]
    figure = Figure((9, 6.6), layout="constrained")
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(2, len(names), number)
        rows = [row for row in document["by_workers"] if row["hardware"] == name]
        for bound in dict.fromkeys(row["bound"] for row in rows):
            for failures, style in ((False, "o--"), (True, "o-")):
                found = [r for r in rows if (r["bound"], r["failures"]) == (bound, failures)]
                label = f"split at {bound} frames" if bound else "whole shots"
                axes.plot(
                    [row["workers"] for row in found],
                    [100 * row["utilisation"] for row in found],
                    style,
                    color="C1" if bound else "C0",
                    label=label + (", with failures" if failures else ""),
                )
        ticks = sorted({row["workers"] for row in rows})
        axes.set(title=name, xlabel="workers", ylabel="utilisation, %", xscale="log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
    for number, name in enumerate(names, len(names) + 1):
        axes = figure.add_subplot(2, len(names), number)
        rows = [row for row in document["by_bound"] if row["hardware"] == name and row["bound"]]
        for key, colour in (("utilisation", "C2"), ("efficiency", "C3")):
            line = [100 * row[key] for row in rows]
            axes.plot([row["bound"] for row in rows], line, "o-", color=colour, label=key)
        axes.set(
            title=f"{name}, {rows[0]['workers']:,} workers", xlabel="split at, frames", ylabel="%"
        )
    for axes in figure.axes:
        axes.axhline(85, color="grey", linewidth=0.8)
        axes.set_ylim(0, 103)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, handlelength=4)
    return figure


def pixels(size):
    """From "320x180" to 57600."""
    width, height = map(int, size.split("x"))
    return width * height


def results(name):
    """Figure -> value."""
    return {
        row["figure"]: row["value"]
        for row in json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    }


def main():
    """Write all plots."""
    draw(results("temporal-cpu")).savefig(ROOT / "docs" / "curve.png", dpi=110)
    draw_times(results("speed-cpu")).savefig(ROOT / "docs" / "time.png", dpi=110)
    scale = json.loads((RESULTS / "scale.json").read_text())
    draw_scaling(scale).savefig(ROOT / "docs" / "scaling.png", dpi=110)


if __name__ == "__main__":
    main()
