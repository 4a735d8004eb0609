"""Draw gap against flicker against time from the results: python benchmarks/plot.py (needs matplotlib)

One panel per clip of the curve; each point is a number of steps per frame.
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "temporal-cpu.json"
PICTURE = ROOT / "docs" / "curve.png"
CLIPS = ("object", "pan", "light")
STEPS = (1, 2, 4, 8, 16)
TIMED = (1, 16)
TICKS = (10, 20, 50, 100, 200, 500)
NAIVE = ", previous picture, fresh Adam"
LINES = (("", "vidstyle", "C0"), (NAIVE, "previous picture, fresh Adam", "C1"))


def draw(values):
    """The figure, from figure names and their values."""
    figure = Figure((11, 4), layout="constrained")
    for axes, clip in zip(figure.subplots(1, len(CLIPS), sharex=True, sharey=True), CLIPS, strict=True):
        for words, label, colour in LINES:
            gaps, flickers, seconds = (
                [values[f"{clip}, {steps} steps: {name}{words}"] for steps in STEPS]
                for name in ("objective gap", "flicker", "median time per frame")
            )
            axes.plot(gaps, flickers, "o-", label=label, color=colour)
            for steps, gap, flicker, time in zip(STEPS, gaps, flickers, seconds, strict=True):
                note(axes, f"{steps}\n{time:.1f} s" if words == "" and steps in TIMED else str(steps), (gap, flicker), colour)
        fresh = (
            values[f"{clip}: objective gap of fresh paintings"],
            values[f"{clip}: flicker of fresh paintings, last two frames"],
        )
        axes.plot(*fresh, "*", label="every frame afresh", color="C2", markersize=10)
        note(axes, f"150\n{values[f'{clip}: time of a fresh painting']:.0f} s", fresh, "C2")
        axes.set(title=clip, xlabel="gap to L*, %", xscale="log", yscale="log", ylim=(8e-7, 6e-2))
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("flicker (mean squared)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(
        "At each point: steps (and seconds) per frame; a naive step takes as long as one of ours. Lower left is better.",
        fontsize=9,
    )
    return figure


def note(axes, text, point, colour):
    """Small words above a point."""
    axes.annotate(text, point, (0, 6), textcoords="offset points", fontsize=6.5, color=colour, ha="center")


def main():
    """Write docs/curve.png."""
    rows = json.loads(RESULTS.read_text())["rows"]
    draw({row["figure"]: row["value"] for row in rows}).savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
