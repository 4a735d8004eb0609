"""The tables of speed, for benchmarks/table.py."""

TECHNIQUES = (
    ("textbook, channels first", "textbook: float32, one product per Gram matrix, PyTorch's Adam"),
    ("textbook", "feature maps in channels-last layout"),
    ("float32", "one product forward and one backward per feature map; Adam at six scales"),
    ("bfloat16", "convolutions and products in bfloat16"),
    ("bfloat16, compiled", "the same, compiled"),
    ("fast style layers, bfloat16", "in bfloat16, not compiled, with fewer style layers"),
    ("draft, bfloat16", "and without patch matching (`draft`)"),
    ("VGG-19, textbook", "for comparison: VGG-19, textbook"),
    ("VGG-19, bfloat16", "VGG-19, vidstyle's iteration in bfloat16"),
)


def steps(values):
    """Time of one iteration, technique by technique."""
    base = values["step, textbook, channels first"]
    lines = ["| one iteration at 320 x 180 | time | relative to the textbook |", "|---|---|---|"]
    for name, title in TECHNIQUES:
        if f"step, {name}" in values:
            time = values[f"step, {name}"]
            lines.append(f"| {title} | {time:.0f} ms | {time / base:.2f} |")
    (wide, wide_live), (half, half_live) = (
        [
            values[f"step, VGG-19, {precision}"] / values[f"step, {kind}{precision}"]
            for kind in ("", "draft, ")
        ]
        for precision in ("float32", "bfloat16")
    )
    coarse, fine = (
        values["first frame, coarse to fine"],
        values.get("first frame, full size only, to the same loss"),
    )
    comparison = (
        f"in {fine:.1f} s at full size only"
        if fine
        else "not within three times as many iterations at full size only"
    )
    return [
        *lines,
        "",
        f"An iteration takes 1/{wide:.1f} of the time with VGG-19 in float32 and 1/{half:.1f} in "
        f"bfloat16; that of `draft` 1/{wide_live:.1f} and 1/{half_live:.1f}. "
        f"A first frame reaches its loss in {coarse:.1f} s with pyramid levels, {comparison}.",
    ]


SIZES = ("320x180", "640x360", "1280x720")
SPEED_FIGURES = (
    "median time per frame",
    "95th percentile",
    "end to end",
    "steps per frame",
    "step",
    "objective gap",
    "flicker",
    "peak memory",
)


def speed(values):
    """Whole frames, from file to file."""
    lines = [
        "| size, preset, precision | a frame, median (95th percentile) | end to end | iterations "
        "| an iteration | gap | flicker | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        for preset in ("draft", "standard"):
            for precision, dtype in (("fp32", "fp32"), ("auto", "bf16")):
                words = f"{size}, bundled, auto, {precision}, {preset}"
                if f"{words}: end to end" not in values:
                    continue
                found = {name: values.get(f"{words}: {name}") for name in SPEED_FIGURES}
                gap = "" if found["objective gap"] is None else f"{found['objective gap']:+.0f} %"
                cells = (
                    f"{size.replace('x', ' x ')}, `{preset}`, {dtype}",
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


MEMORY = "bundled: resident memory after 2000 frames relative to 200 frames"


def targets(values):
    """Targets and measurements of each measured precision and engine."""
    live = "320x180, bundled, {}, draft: end to end"
    kinds = [kind for kind in KINDS if live.format(kind) in values]
    precisions = [kind.split(", ")[1] for kind in kinds if kind.startswith("auto")]

    def columns(figure, size="320x180"):
        return " / ".join(
            f"{values[f'{size}, bundled, {kind}, standard: {figure}']:.2f}" for kind in kinds
        )

    def ratio(figure, preset="standard"):
        times = [
            1 / values[f"320x180, bundled, {precision}, {preset}: {figure}"]
            for precision in precisions
        ]
        return ", ".join(f"1/{time:.0f}" if time > 10 else f"1/{time:.1f}" for time in times)

    def exponent(preset):
        return values[f"bundled, auto, {precisions[-1]}, {preset}: exponent of time against pixels"]

    textbook = "step relative to the textbook's in float32"
    against = "time per frame relative to 300 iterations of L-BFGS"

    def reached(preset):
        cells = [f"320x180, bundled, {precision}, {preset}" for precision in precisions]
        free, clamped = (
            " / ".join(f"{values[f'{cell}: objective relative to {name}']:.2f}" for cell in cells)
            for name in ("L-BFGS", "clamped L-BFGS")
        )
        return f"{free} ({clamped})"

    rates = " / ".join(f"{values[live.format(kind)]:.1f}" for kind in kinds)
    slow, quick = exponent("standard"), exponent("draft")
    idle = max(value for name, value in values.items() if name.endswith("stylizer idle"))
    return [
        f"| figure, {' / '.join(KINDS[kind] for kind in kinds)} | measured | target |",
        "|---|---|---|",
        "| an iteration, relative to forward and backward through the features alone "
        f"| {columns('step relative to its features')} | <= 1.30 |",
        "| an iteration, relative to the textbook in float32 "
        f"| {columns(textbook, '320x180')} | <= 0.40 in bf16 |",
        f"| the same at 640 x 360 | {columns(textbook, '640x360')} | <= 0.40 in bf16 |",
        f"| the same at 1280 x 720 | {columns(textbook, '1280x720')} | <= 0.40 in bf16 |",
        "| a frame of `standard`, relative to 300 iterations of L-BFGS "
        f"| {ratio(against)} | 1/50 |",
        "| its loss, relative to L-BFGS (to L-BFGS clipped to displayable colours) "
        f"| {reached('standard')} | <= 1.05 |",
        f"| a frame of `final`, relative to L-BFGS | {ratio(against, 'final')} | 1/50 |",
        f"| its loss, relative to L-BFGS (clipped) | {reached('final')} | <= 1.05 |",
        "| a frame, relative to a naive warm start that reaches the same loss "
        f"| {ratio('time per frame relative to previous frame, fresh Adam')} | 1/4 |",
        f"| `draft`, 320 x 180, end to end | {rates} frames/s | >= 10 |",
        "| exponent of time against pixels, `draft`; `standard` "
        f"| {quick:.2f}; {slow:.2f} | 0.9 to 1.1 |",
        "| resident memory after 2,000 frames relative to 200 frames "
        f"| {values[MEMORY]:.3f} | <= 1.02 |",
        f"| stylizer waiting for reader and writer, at most | {idle:.1f} % | <= 5 % |",
    ]


ON_GPU = (
    ("VGG-19's shape, 1280 x 720, `standard`", "1280x720, vgg19-random", "standard"),
    ("bundled features, 1920 x 1080, `draft`", "1920x1080, bundled", "draft"),
)


GPU_ROWS = (
    ("end to end", "end to end", "{:.1f} frames/s", ">= 30 frames/s"),
    ("a frame, median", "median time per frame", "{:.0f} ms", ""),
    ("stylizer waiting for reader and writer", "stylizer idle", "{:.1f} %", "<= 5 %"),
    ("iterations per frame", "steps per frame", "{:.1f}", ""),
    ("an iteration", "step", "{:.1f} ms", ""),
    (
        "relative to the textbook in float32",
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
    ("compilation or graph capture, once", "compilation or graph capture, once", "{:.1f} s", ""),
)


def gpu(values):
    """Whole frames and iterations on a GPU, recorded and compiled."""
    lines = [
        f"| on an {values['document']['machine']['device']} | recorded | compiled | target |",
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


def neighbours(values):
    """A render alone and next to busy programs, for each wait policy of idle threads."""
    document = values["document"]
    busy = f"with {document['machine']['cores']} busy programs"
    lines = [f"| idle threads | alone | {busy} | ratio |", "|---|---|---|---|"]
    names = dict.fromkeys(figure.split(": ")[0] for figure in values["rows"])
    for name in names:
        alone, with_busy, ratio = (
            values[f"{name}: {figure}"] for figure in ("alone", busy, "busy relative to alone")
        )
        more = "more than " if with_busy >= document["machine"]["patience_seconds"] else ""
        lines.append(f"| {name} | {alone:.1f} s | {more}{with_busy:.1f} s | {more}{ratio:.1f} |")
    return lines


MINUTE_FRAMES = 60 * 30
"""Frames in a minute of video of 30 frames per second."""

HARDWARE_ROWS = (
    (0, "320 x 180, `draft`", "320x180, bundled, auto, fp32, draft"),
    (0, "640 x 360, `standard`", "640x360, bundled, auto, fp32, standard"),
    (0, "1280 x 720, `standard`", "1280x720, bundled, auto, fp32, standard"),
    (1, "1280 x 720, `standard`, VGG-19's shape", "1280x720, vgg19-random, auto, auto, standard"),
    (1, "1920 x 1080, `draft`", "1920x1080, bundled, auto, auto, draft"),
)
"""Index of the results, title, prefix of the figures."""


def hardware(values):
    """What to expect of a machine, for the README."""
    cpu, gpu_machine, live_machine = values["machines"]
    cores = f"{cpu['threads']} CPU cores in float32 ({cpu['processor']})"
    live_cores = f"{live_machine['threads']} CPU cores ({live_machine['processor']})"
    names = (cores, gpu_machine["device"])
    lines = [
        "| machine | optimised size, preset | speed | a minute of video (30 fps) |",
        "|---|---|---|---|",
    ]
    for machine, title, prefix in HARDWARE_ROWS:
        rate = values[f"{prefix}: end to end"]
        minutes = MINUTE_FRAMES / rate / 60
        lines.append(
            f"| {names[machine]} | {title} | {rate:.1f} frames/s | {minutes:.1f} minutes |"
        )
    title = f"`vidstyle live`, {values['working size, long side']:.0f} px long side"
    shown, stylized = values["frames per second"], values["stylised frames per second"]
    speed = f"{shown:.0f} frames/s shown, {stylized:.1f} stylised"
    return [*lines, f"| {live_cores} | {title} | {speed} | |"]
