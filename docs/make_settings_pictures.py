"""Render one small image per value of each setting, and write their tables into guide/styles.md.

    python docs/make_settings_pictures.py [--tables]

``--tables`` writes the tables only.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import vidstyle as vs

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guide" / "styles.md"
FOLDER = ROOT / "docs" / "settings"
CONTENT = ROOT / "samples" / "pictures" / "portrait.jpg"
STYLE = ROOT / "samples" / "styles" / "strokes.jpg"
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->"

DEFAULTS = replace(vs.PRESETS["still"], size=256, initial_steps=100)
"""Fewer iterations than the preset has: twenty images take minutes."""

VALUES = {
    "content_weight": ("How much of the content's shapes stays.", (0.005, 0.03, 0.5)),
    "style_scale": ("The size of the strokes.", (0.5, 1.0, 2.0)),
    "patch_weight": ("How closely patches match patches of the style.", (0.0, 0.05, 0.5)),
    "orientation_weight": ("How closely strokes follow the content's edges.", (0.0, 0.3, 2.0)),
    "tv_weight": ("Smoothness (total variation).", (0.0, 0.6, 5.0)),
    "strength": ("The blend of source (0) and result (1).", (0.5, 1.0)),
    "original_colors": ("The colours of the source, the lightness of the result.", (False, True)),
    "working_size": ("The resolution of the optimisation, in px.", (80, 144, None)),
    "initial_steps": ("The iterations of a first frame or an image.", (10, 30, 100)),
    "pyramid_levels": ("Coarse levels form long strokes.", (1, 3, 5)),
    "fast_style_layers": ("Fewer style layers: faster, coarser.", (False, True)),
}
"""Setting -> its meaning, and its values, one image each."""


def is_default(name, value):
    """Whether the image of a value is that of the defaults."""
    return value == getattr(DEFAULTS, name)


def picture(name, value):
    """The file of a value's image."""
    flag = name.replace("_", "-")
    return FOLDER / ("default.jpg" if is_default(name, value) else f"{flag}-{value}.jpg".lower())


def title(name, value):
    """The flag that gives the value, as a heading."""
    flag = "--" + name.replace("_", "-")
    if value is None or value is False:
        return f"no `{flag}` (default)"
    text = f"`{flag}`" if value is True else f"`{flag} {value:g}`"
    return text + " (default)" * (value == getattr(vs.PRESETS["still"], name))


def render(features, style):
    """Render every image."""
    FOLDER.mkdir(exist_ok=True)
    done = set()
    for name, (_, values) in VALUES.items():
        for value in values:
            path = picture(name, value)
            if path in done:
                continue
            stylizer = vs.Stylizer(features, style, replace(DEFAULTS, **{name: value}))
            source = vs.open_source(CONTENT)
            with source, vs.open_sink(path, source, overwrite=True) as sink:
                vs.run(source, stylizer, [sink])
            done.add(path)


def tables():
    """The images as Markdown, one table per setting."""
    parts = []
    for name, (meaning, values) in VALUES.items():
        images = [f"![{name} {value}](../settings/{picture(name, value).name})" for value in values]
        parts += [
            f"**{name.replace('_', ' ').capitalize()}**. {meaning}",
            "",
            f"| {' | '.join(title(name, value) for value in values)} |",
            "|" + "---|" * len(values),
            f"| {' | '.join(images)} |",
            "",
        ]
    return "\n".join(parts)


def main():
    """Render the images, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", action="store_true")
    if not parser.parse_args().tables:
        features = vs.load_features("bundled")
        render(features, vs.Style.from_images([STYLE], features))
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + tables() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
