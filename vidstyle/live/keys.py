"""Keyboard shortcuts of the preview window."""

from .startup import QUIT_KEYS

KEYS = {
    "n": "next",
    "p": "previous",
    "+": "stronger",
    "=": "stronger",
    "-": "weaker",
    "]": "larger",
    "[": "smaller",
    "o": "original_colors",
    "b": "bypass",
    "c": "side_by_side",
    "f": "freeze",
    "m": "mirror",
    "a": "area",
    "k": "faces",
    "s": "snapshot",
    "r": "record",
    "h": "help",
} | dict.fromkeys(QUIT_KEYS, "quit")
"""Key -> action of ``Session.actions``."""

HELP = (
    "n, p: next, previous style",
    "+ -: strength    [ ]: style scale",
    "o: original colours    c: source side by side",
    "f: freeze    m: mirror    b: bypass",
    "a: all, people only, background only",
    "k: keep faces, or paint them like all else",
    "s: snapshot    r: record",
    "h: this help    q: quit",
)
"""Lines of text that the key h shows."""
