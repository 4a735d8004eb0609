"""The keys of the preview window."""

from .startup import ENDING_KEYS

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
    "c": "beside",
    "f": "freeze",
    "m": "mirror",
    "s": "snapshot",
    "r": "record",
    "h": "help",
} | dict.fromkeys(ENDING_KEYS, "quit")

HELP = (
    "n, p: next, previous style",
    "+ -: strength    [ ]: style scale",
    "o: original colours    c: source beside",
    "f: freeze    m: mirror    b: bypass",
    "s: snapshot    r: record",
    "h: this help    q: quit",
)
