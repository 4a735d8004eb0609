"""Render the figures of benchmarks/results into the README: python benchmarks/table.py

The README's part between the two marks of each table is replaced. A test keeps README and results in step.
"""

import json
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CLIPS = ("object", "pan", "slow pan", "zoom and rotation", "light")
PRESETS = ("live", "balanced", "quality")


def temporal(values):
    """Steadiness per clip, at four steps and at two."""
    lines = [
        "| clip, steps | flicker, of naive | gap | gap, displayable | gap to fresh | gradient energy | contrast | lag |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clip in CLIPS:
        for steps in (4, 2):
            words = f"{clip}, {steps} steps"
            if f"{words}: lag" not in values:
                continue
            ratio = values[f"{words}: flicker relative to previous picture, fresh Adam"]
            gap = values[f"{words}: objective gap"]
            shown = values[f"{words}: the same against what L-BFGS' picture can show"]
            fresh = values[f"{words}: the same against fresh paintings"]
            energy, contrast = (values[f"{words}: {name} relative to fresh"] for name in ("gradient energy", "contrast"))
            lag = values[f"{words}: lag"]
            gaps = f"{gap:+.0f} % | {shown:+.1f} % | {fresh:+.1f} %"
            lines.append(f"| {clip}, {steps} | 1/{1 / ratio:.0f} | {gaps} | {energy:.2f} | {contrast:.2f} | {lag:.2f} |")
    lines += [
        "",
        "To reach: flicker 1/40 (1/10 where the camera moves), gap 3 % at 4 steps and 8 % at 2, energy and contrast 0.9 to 1.1, "
        "lag 0.95.",
        "",
        "| the rest | measured | to reach |",
        "|---|---|---|",
    ]
    for figure, (value, unit, target) in {k: v for k, v in values["rows"].items() if k.split(":")[0] in OTHERS}.items():
        lines.append(f"| {figure} | {value:.3g} {unit} | {target} |")
    return lines


OTHERS = ("noise", "still", "cut", "flash", "fade")


def presets(values):
    """What each preset costs and gives."""
    lines = [
        "| preset | clip | steps, mean | seconds per frame | flicker | objective reached |",
        "|---|---|---|---|---|---|",
    ]
    for clip in ("pan", "object"):
        for preset in PRESETS:
            words = f"preset {preset}, {clip}"
            if f"{words}: flicker" not in values:
                continue
            steps, seconds, flicker, reached = (
                values[f"{words}: {name}"]
                for name in ("mean steps per frame", "median time per frame", "flicker", "objective of the last frame")
            )
            lines.append(f"| `{preset}` | {clip} | {steps:.1f} | {seconds:.2f} | {flicker:.1e} | {reached:.4f} |")
    return lines


GALLERY_STYLES = ("strokes", "watercolor", "ink", "engraving", "paper", "mosaic")
GALLERY_FIGURES = (
    ("style share", "style share", "<= 0.25"),
    ("structure", "structure", "0.45 to 0.75"),
    ("strokes, finest", "strokes 1", "0.9 to 1.1"),
    ("strokes, next", "strokes 2", "0.9 to 1.1"),
    ("gradient energy", "gradient energy", "0.7 to 1.2"),
)


def gallery(values):
    """How good the stills of the gallery are, per style as the mean of the contents; the control in brackets."""
    contents = sorted({figure.split(",")[0] for figure in values["rows"]})
    lines = ["| style | " + " | ".join(name for name, _, _ in GALLERY_FIGURES) + " |", "|---" * (1 + len(GALLERY_FIGURES)) + "|"]

    def cell(figure, styles):
        ours, control = (
            mean(values[f"{content}, {style}{what}: {figure}"] for content in contents for style in styles)
            for what in ("", ", colours only")
        )
        return f"{ours:.2f} ({control:.2f})"

    rows = [(style, (style,)) for style in GALLERY_STYLES] + [("**mean**", GALLERY_STYLES)]
    for title, styles in rows:
        lines.append(f"| {title} | " + " | ".join(cell(figure, styles) for _, figure, _ in GALLERY_FIGURES) + " |")
    return [*lines, "| to reach | " + " | ".join(target for _, _, target in GALLERY_FIGURES) + " |"]


def steps(values):
    """What a step costs."""
    lines = ["| one step at 320 x 180 | time | of VGG-19's | to reach |", "|---|---|---|---|"]
    for name, target in (("VGG-19", ""), ("all layers", "1/4"), ("few layers", "1/8")):
        share = values[f"step, {name}"] / values["step, VGG-19"]
        words = "" if name == "VGG-19" else f"1/{1 / share:.1f}"
        lines.append(f"| {name} | {values[f'step, {name}']:.0f} ms | {words} | {target} |")
    return lines


TABLES = {
    "temporal": ("temporal-cpu", temporal),
    "presets": ("temporal-cpu", presets),
    "gallery": ("gallery", gallery),
    "steps": ("steps-cpu", steps),
}


def rendered(readme):
    """The README's text with its tables made anew."""
    for name, (file, make) in TABLES.items():
        rows = json.loads((RESULTS / f"{file}.json").read_text())["rows"]
        values = {row["figure"]: row["value"] for row in rows}
        values["rows"] = {row["figure"]: (row["value"], row["unit"], row["target"]) for row in rows}
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        head, rest = readme.split(begin)
        readme = head + begin + "\n".join(make(values)) + end + rest.split(end)[1]
    return readme


def main():
    """Rewrite the README's tables."""
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text()))


if __name__ == "__main__":
    main()
