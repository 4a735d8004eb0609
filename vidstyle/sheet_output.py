"""Writes a contact sheet as one image, or as a page with a slider between source and result."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from .errors import OutputError
from .io.files import write_file
from .io.frame import Image
from .io.image_names import is_image, is_numbered, unnumbered_stem
from .io.images import jpeg, write_image
from .sheet import Sheet

PAGE_ENDINGS = (".html", ".htm")
"""Endings of a page; all others are those of images."""

COLUMNS = 4
"""Cells in a row where the settings do not vary."""

FONT_PX, LINE_PX, GAP_PX = 14, 18, 8
"""Size of letters, distance of lines, and gap between cells, in px."""

PAPER, INK = (255, 255, 255), (30, 30, 30)
"""Colours of the sheet and of its letters."""

CONTENT_SECURITY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
CONTENT_SECURITY += "script-src 'unsafe-inline'"
"""Content security policy of the page: nothing is loaded from elsewhere."""

STYLE_SHEET = """
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 90rem; padding: 0 1rem; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
figure { margin: 0; }
.pair { display: grid; }
.pair img { grid-area: 1 / 1; width: 100%; display: block; }
.pair .source { clip-path: inset(0 calc(100% - var(--share, 0%)) 0 0); }
input[type=range] { width: 100%; margin: .3rem 0; }
code { display: block; overflow-wrap: anywhere; font-size: .85rem; }
button { margin-top: .3rem; }
"""

SCRIPT = """
const source = document.getElementById('source').src;
for (const figure of document.querySelectorAll('figure')) {
  const image = figure.querySelector('.source');
  image.src = source;
  figure.querySelector('input').addEventListener('input', event => {
    image.style.setProperty('--share', event.target.value + '%');
    event.target.setAttribute('aria-valuetext', event.target.value + ' % source');
  });
  const code = figure.querySelector('code');
  figure.querySelector('button').addEventListener('click', async () => {
    let said = 'copied';
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      said = 'selected: copy it with Ctrl+C';
    }
    figure.querySelector('span').textContent = said;
  });
}
"""


def write_sheet(path: Path, sheet: Sheet, title: str, commands: Sequence[str]) -> None:
    """Write a sheet; the ending of the name chooses between an image and a page.

    Args:
        path: file to write.
        sheet: to be written.
        title: of the source.
        commands: the command line that renders each cell.

    Raises:
        OutputError: it cannot be written.
    """
    if path.suffix.lower() not in PAGE_ENDINGS:
        write_image(path, sheet_image(sheet, title))
        return
    try:
        write_file(path, sheet_page(sheet, title, commands).encode(errors="replace"))
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}: free some space or choose another place"
        ) from None


def check_ending(path: Path) -> None:
    """Check that a sheet can be written to a file of this name.

    Raises:
        OutputError: its ending is neither that of an image nor that of a page.
    """
    if path.suffix.lower() not in PAGE_ENDINGS and (not is_image(path) or is_numbered(path)):
        raise OutputError(
            f"{path} is neither an image nor a page: use a name such as "
            f"{unnumbered_stem(path)}.jpg, or one that ends in .html"
        )


def captions(sheet: Sheet) -> list[list[str]]:
    """The lines under each cell: its style, then one line for each setting that varies."""
    return [
        [cell.style, *(_setting_text(name, value) for name, value in cell.changes.items())]
        for cell in sheet.cells
    ]


def _setting_text(name: str, value: Any) -> str:
    """A setting and its value as words: ``content-weight 0.05``, ``original-colors yes``."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name.replace('_', '-')} {shown}"


def sheet_image(sheet: Sheet, title: str) -> Image:
    """(H, W, 3) uint8: the source, then the cells, with captions.

    Where settings vary, each row has one style.
    """
    styles = len({cell.style for cell in sheet.cells})
    columns = len(sheet.cells) // styles
    tiles = list(zip(sheet.images, captions(sheet), strict=True))
    source = (sheet.source, [title])
    head = [[source]]
    if columns == 1:
        head, tiles = [], [source, *tiles]
        columns = min(COLUMNS, len(tiles))
    rows = head + [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    height, width = sheet.source.shape[:2]
    lines = max(len(caption) for row in rows for _, caption in row)
    step_x, step_y = width + GAP_PX, height + lines * LINE_PX + GAP_PX
    canvas = Pillow.new("RGB", (columns * step_x + GAP_PX, len(rows) * step_y + GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT_PX)
    for row, tiles_of_row in enumerate(rows):
        for column, (image, caption) in enumerate(tiles_of_row):
            x, y = GAP_PX + column * step_x, GAP_PX + row * step_y
            canvas.paste(Pillow.fromarray(image), (x, y))
            for number, line in enumerate(caption):
                text = _shortened(line, width, font)
                draw.text((x, y + height + number * LINE_PX), text, INK, font)
    return np.asarray(canvas).copy()


def _shortened(text: str, width: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> str:
    """The text, cut at the end to a width in px."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def sheet_page(sheet: Sheet, title: str, commands: Sequence[str]) -> str:
    """A page of HTML that needs no other file: each cell with a slider before and after, and its
    command."""
    figures = "".join(
        f'<figure><div class="pair"><img alt="{caption}" src="{_data_address(image)}">'
        f'<img class="source" alt=""></div>'
        f'<input type="range" min="0" max="100" value="0" aria-valuetext="0 % source" '
        f'aria-label="share of the source: {caption}">'
        f"<figcaption>{caption}<code>{html.escape(command)}</code>"
        f'<button aria-label="copy the command: {caption}">Copy the command</button> '
        '<span aria-live="polite"></span></figcaption></figure>\n'
        for image, caption, command in zip(
            sheet.images,
            (html.escape(", ".join(lines)) for lines in captions(sheet)),
            commands,
            strict=True,
        )
    )
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE_SHEET}</style></head>\n"
        f"<body><h1>{name}</h1><p>Move a slider to see the source.</p>\n"
        f'<img id="source" alt="the source" hidden src="{_data_address(sheet.source)}">\n'
        f"<main>\n{figures}</main>\n<script>{SCRIPT}</script></body></html>\n"
    )


def _data_address(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode()
