"""Make docs/temporal.webp: a clip whose strokes boil, change on twos, follow, and are locked.

python docs/make_temporal.py
"""

import tempfile

from make_mask import CLIP, ROOT, read, reduced, save

import vidstyle as vs

OUTPUT = ROOT / "docs" / "temporal.webp"

SETTINGS = {"temporal": 0.0, "boil": 8.0}, {"boil": 4.0}, {}, {"temporal": 1.0}
"""Of the columns. The clip has 8 frames per second."""


def main():
    """Write the animation."""
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for number, settings in enumerate(SETTINGS):
            output = f"{folder}/{number}.mkv"
            vs.render(CLIP, "strokes", output, codec="ffv1", **settings)
            columns.append(reduced(read(output)))
    save(columns, OUTPUT)


if __name__ == "__main__":
    main()
