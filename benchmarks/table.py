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
            energy, contrast = (
                values[f"{words}: {name} relative to fresh"]
                for name in ("gradient energy", "contrast")
            )
            lag = values[f"{words}: lag"]
            gaps = f"{gap:+.0f} % | {shown:+.1f} % | {fresh:+.1f} %"
            lines.append(
                f"| {clip}, {steps} | 1/{1 / ratio:.0f} | {gaps} | {energy:.2f} | {contrast:.2f} | {lag:.2f} |"
            )
    lines += [
        "",
        "To reach: flicker 1/40 (1/10 where the camera moves), gap 3 % at 4 steps and 8 % at 2, energy and contrast 0.9 to 1.1, "
        "lag 0.95.",
        "",
        "| the rest | measured | to reach |",
        "|---|---|---|",
    ]
    for figure, (value, unit, target) in {
        k: v for k, v in values["rows"].items() if k.split(":")[0] in OTHERS or "scenes" in k
    }.items():
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
                for name in (
                    "mean steps per frame",
                    "median time per frame",
                    "flicker",
                    "objective of the last frame",
                )
            )
            lines.append(
                f"| `{preset}` | {clip} | {steps:.1f} | {seconds:.2f} | {flicker:.1e} | {reached:.4f} |"
            )
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
    lines = [
        "| style | " + " | ".join(name for name, _, _ in GALLERY_FIGURES) + " |",
        "|---" * (1 + len(GALLERY_FIGURES)) + "|",
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

    rows = [(style, (style,)) for style in GALLERY_STYLES] + [("**mean**", GALLERY_STYLES)]
    for title, styles in rows:
        lines.append(
            f"| {title} | "
            + " | ".join(cell(figure, styles) for _, figure, _ in GALLERY_FIGURES)
            + " |"
        )
    return [*lines, "| to reach | " + " | ".join(target for _, _, target in GALLERY_FIGURES) + " |"]


TECHNIQUES = (
    ("textbook, planes apart", "textbook: float32, one product per Gram matrix, PyTorch's Adam"),
    ("textbook", "its maps channels last in memory"),
    ("float32", "one product forth and one back per map; Adam at six scales"),
    ("bfloat16", "convolutions and products in bfloat16"),
    ("bfloat16, compiled", "the same, compiled"),
    ("few layers, bfloat16", "in bfloat16 and not compiled, fewer layers"),
    ("live, bfloat16", "and spots not led to their likes (`live`)"),
    ("VGG-19, textbook", "for comparison: VGG-19, textbook"),
    ("VGG-19, bfloat16", "VGG-19, our step in bfloat16"),
)


def steps(values):
    """What a step costs, technique by technique."""
    base = values["step, textbook, planes apart"]
    lines = ["| one step at 320 x 180 | time | of the textbook's |", "|---|---|---|"]
    for name, title in TECHNIQUES:
        if f"step, {name}" in values:
            time = values[f"step, {name}"]
            lines.append(f"| {title} | {time:.0f} ms | {time / base:.2f} |")
    (wide, wide_live), (half, half_live) = (
        [
            values[f"step, VGG-19, {precision}"] / values[f"step, {kind}{precision}"]
            for kind in ("", "live, ")
        ]
        for precision in ("float32", "bfloat16")
    )
    coarse, fine = (
        values["first frame, coarse sizes first"],
        values.get("first frame, full size alone, to the same loss"),
    )
    said = (
        f"{fine:.1f} s at full size alone"
        if fine
        else "three times as many steps at full size alone do not"
    )
    return [
        *lines,
        "",
        f"Of VGG-19's step ours is 1/{wide:.1f} in float32 and 1/{half:.1f} in bfloat16, that of `live` "
        f"1/{wide_live:.1f} and 1/{half_live:.1f}. "
        f"A first frame comes to its loss in {coarse:.1f} s painted coarse to fine; {said}.",
    ]


SIZES = ("320x180", "640x360", "1280x720")


def speed(values):
    """Whole frames, end to end."""
    lines = [
        "| size, preset, precision | a frame, median (95th percentile) | end to end | steps | a step | gap | flicker | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        for preset in ("live", "balanced"):
            for precision in ("fp32", "auto"):
                words = f"{size}, bundled, auto, {precision}, {preset}"
                if f"{words}: end to end" not in values:
                    continue
                found = {
                    name: values.get(f"{words}: {name}")
                    for name in (
                        "median time per frame", "95th percentile", "end to end", "steps per frame", "step", "objective gap",
                        "flicker", "peak memory",
                    )
                }  # fmt: skip
                gap = "" if found["objective gap"] is None else f"{found['objective gap']:+.0f} %"
                cells = (
                    f"{size.replace('x', ' x ')}, `{preset}`, {'bf16' if precision == 'auto' else precision}",
                    f"{found['median time per frame']:.0f} ({found['95th percentile']:.0f}) ms",
                    f"{found['end to end']:.1f} frames/s",
                    f"{found['steps per frame']:.1f}",
                    f"{found['step']:.0f} ms",
                    gap,
                    f"{found['flicker']:.1e}",
                    f"{found['peak memory']:.0f} MB",
                )
                lines.append("| " + " | ".join(cells) + " |")
    return lines


KINDS = {
    "auto, fp32": "float32",
    "compile, fp32": "float32 compiled",
    "auto, auto": "bfloat16",
    "compile, auto": "bfloat16 compiled",
}


def targets(values):
    """Targets and measurements, one column of figures for each precision and engine that was measured."""
    live = "320x180, bundled, {}, live: end to end"
    kinds = [kind for kind in KINDS if live.format(kind) in values]
    precisions = [kind.split(", ")[1] for kind in kinds if kind.startswith("auto")]

    def columns(figure, size="320x180"):
        return " / ".join(
            f"{values[f'{size}, bundled, {kind}, balanced: {figure}']:.2f}" for kind in kinds
        )

    def of_textbook(size):
        return columns("step relative to the textbook's in float32", size)

    def ratio(figure, preset="balanced"):
        times = [
            1 / values[f"320x180, bundled, {precision}, {preset}: {figure}"]
            for precision in precisions
        ]
        return ", ".join(f"1/{time:.0f}" if time > 10 else f"1/{time:.1f}" for time in times)

    def exponent(preset):
        return values[f"bundled, auto, {precisions[-1]}, {preset}: exponent of time against pixels"]

    against, theirs = (
        "time per frame relative to 300 iterations of L-BFGS",
        "objective relative to theirs",
    )

    def reached(preset):
        cells = [f"320x180, bundled, {precision}, {preset}: {theirs}" for precision in precisions]
        free, shown = (
            " / ".join(f"{values[cell + end]:.2f}" for cell in cells)
            for end in ("", ", once shown")
        )
        return f"{free} ({shown})"

    rates = " / ".join(f"{values[live.format(kind)]:.1f}" for kind in kinds)
    slow, quick = exponent("balanced"), exponent("live")
    idle = max(value for name, value in values.items() if name.endswith("painter idle"))
    return [
        f"| figure, {' / '.join(KINDS[kind] for kind in kinds)} | measured | target |",
        "|---|---|---|",
        f"| a step, relative to forward and backward through the features alone | {columns('step relative to that')} | <= 1.30 |",
        f"| a step, relative to the textbook's in float32 | {of_textbook('320x180')} | <= 0.40 in bf16 |",
        f"| the same at 640 x 360 | {of_textbook('640x360')} | <= 0.40 in bf16 |",
        f"| and at 1280 x 720 | {of_textbook('1280x720')} | <= 0.40 in bf16 |",
        f"| a frame, relative to 300 iterations of L-BFGS | {ratio(against)} | 1/50 |",
        f"| the objective it reaches, relative to theirs (once shown) | {reached('balanced')} | <= 1.05 |",
        f"| the same by `quality`: a frame's time | {ratio(against, 'quality')} | 1/50 |",
        f"| and the objective | {reached('quality')} | <= 1.05 |",
        "| a frame, relative to previous picture, fresh Adam, to the same objective "
        f"| {ratio('time per frame relative to that')} | 1/4 |",
        f"| `live`, 320 x 180, end to end | {rates} frames/s | >= 10 |",
        f"| exponent of time against pixels, `live`; `balanced` | {quick:.2f}; {slow:.2f} | 0.9 to 1.1 |",
        "| resident memory after 2,000 frames over after 200 "
        f"| {values['bundled: resident memory after 2000 frames over after 200']:.3f} | <= 1.02 |",
        f"| painter waiting for reader and writer, at most | {idle:.1f} % | <= 5 % |",
    ]


ON_GPU = (
    ("VGG-19's shape, 1280 x 720, `balanced`", "1280x720, vgg19-random", "balanced"),
    ("bundled features, 1920 x 1080, `live`", "1920x1080, bundled", "live"),
)


GPU_ROWS = (
    ("end to end", "end to end", "{:.1f} frames/s", ">= 30 frames/s"),
    ("a frame, median", "median time per frame", "{:.0f} ms", ""),
    ("painter waiting for reader and writer", "painter idle", "{:.1f} %", "<= 5 %"),
    ("steps per frame", "steps per frame", "{:.1f}", ""),
    ("a step", "step", "{:.1f} ms", ""),
    (
        "relative to the textbook's in float32",
        "step relative to the textbook's in float32",
        "{:.2f}",
        "<= 0.40",
    ),
    (
        "of the throughput of its convolutions alone",
        "share of the convolutions' throughput",
        "{:.0f} %",
        ">= 50 %",
    ),
    ("compiling or recording, once", "compiling or recording, once", "{:.1f} s", ""),
)


def gpu(values):
    """Whole frames and steps on a GPU, recorded and compiled."""
    lines = [
        f"| on an {values['document']['machine']['device']} | recorded | compiled | to reach |",
        "|---|---|---|---|",
    ]
    for title, where, preset in ON_GPU:
        lines.append(f"| **{title}** | | | |")
        for name, figure, cell, target in GPU_ROWS:
            found = (
                values[f"{where}, {engine}, auto, {preset}: {figure}"]
                for engine in ("auto", "compile")
            )
            lines.append(
                f"| {name} | {' | '.join(cell.format(value) for value in found)} | {target} |"
            )
    return lines


def live(values):
    """How live is live."""
    lines = ["| clip of 30 frames per second, 320 x 180 | measured | to reach |", "|---|---|---|"]
    for figure, (value, unit, target) in values["rows"].items():
        lines.append(f"| {figure} | {value:.3g} {unit} | {target} |")
    return lines


def into_obs(values):
    """How soon and how true pictures are in OBS."""
    lines = ["| 640 x 360, 30 pictures per second | measured | to reach |", "|---|---|---|"]
    return lines + [
        f"| {figure} | {value:.3g} {unit} | {target} |"
        for figure, (value, unit, target) in values["rows"].items()
    ]


def kills(values):
    """How renders that were killed ended."""
    found = values["document"]
    rows = [row for row in found["kills"] if not row["whole_already"]]
    kept = sorted(row["frames_in_whole_segments"] for row in rows)
    return [
        f"`benchmarks/kills.py` killed {len(found['kills'])} renders of {found['frames']} frames at random moments (seed "
        f"{found['seed']}), with {kept[0]} to {kept[-1]} frames in whole segments, and went on with each: {found['identical']} "
        "ended with the decoded frames and times of a render that nobody disturbed.",
    ]


def neighbours(values):
    """A render alone and beside busy programs, for each way in which threads can wait."""
    document = values["document"]
    busy = f"beside {document['machine']['cores']} busy programs"
    lines = [f"| threads wait | alone | {busy} | ratio |", "|---|---|---|---|"]
    names = dict.fromkeys(figure.split(": ")[0] for figure in values["rows"])
    for name in names:
        alone, beside, ratio = (
            values[f"{name}: {figure}"] for figure in ("alone", busy, "beside over alone")
        )
        more = "more than " if beside >= document["machine"]["patience_seconds"] else ""
        lines.append(f"| {name} | {alone:.1f} s | {more}{beside:.1f} s | {more}{ratio:.1f} |")
    return lines


def interrupts(values):
    """How renders that were interrupted ended."""
    found = values["document"]
    rows = found["interrupts"]
    parts = sum(bool(row["frames_in_part"]) for row in rows)
    whole = sum(row["whole"] for row in rows)
    return [
        f"`benchmarks/interrupts.py` sent SIGINT or SIGTERM to {len(rows)} renders at random moments from their start to their "
        f"end (seed {found['seed']}): {found['well']} ended well, {found['slowest_seconds']:.1f} s later at most. {parts} left a "
        f"playable part, {whole} were whole already, the others had not painted a frame; no file that was there before was lost.",
    ]


def fuzz(values):
    """What became of damaged and hostile files."""
    found = values["document"]
    counts = {
        name: sum(kind.get(name, 0) for kind in found["kinds"].values())
        for name in ("painted", "refused")
    }
    failures = len(found["failures"])
    return [
        f"`benchmarks/fuzz.py` threw {found['cases']} damaged or hostile files of {len(found['kinds'])} kinds at everything that "
        f"is read (seed {found['seed']}): {counts['painted']} were painted as far as they went, {counts['refused']} refused in "
        f"one line, {failures or 'none'} crashed, hung, wrote elsewhere, left files open or reached the network; the slowest "
        f"took {found['slowest_seconds']:.1f} s.",
    ]


TABLES = {
    "temporal": ("temporal-cpu", temporal),
    "presets": ("temporal-cpu", presets),
    "gallery": ("gallery", gallery),
    "steps": ("steps-cpu", steps),
    "speed": ("speed-cpu", speed),
    "targets": ("speed-compiled-cpu speed-cpu", targets),
    "neighbours": ("neighbours", neighbours),
    "gpu": ("speed-gpu", gpu),
    "live": ("live-cpu", live),
    "obs": ("obs-cpu", into_obs),
    "kills": ("kills", kills),
    "interrupts": ("interrupts", interrupts),
    "fuzz": ("fuzz", fuzz),
}


def rendered(readme):
    """The README's text with its tables made anew."""
    for name, (files, make) in TABLES.items():
        documents = [json.loads((RESULTS / f"{file}.json").read_text()) for file in files.split()]
        document = documents[0]
        rows = [row for each in documents for row in each.get("rows", [])]
        values = {row["figure"]: row["value"] for row in rows}
        values["document"] = document
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
