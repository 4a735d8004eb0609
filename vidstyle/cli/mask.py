"""The command ``vidstyle mask``."""

import argparse
import re
from fractions import Fraction
from functools import partial
from pathlib import Path

from ..time_text import parse_time
from . import values
from .usage import check_outputs, events_written, usage_errors


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    parser.usage = "vidstyle mask CLIP [TIME=]MASK [TIME=MASK ...] [-o OUTPUT] [options]"
    add = parser.add_argument
    add("clip", metavar="CLIP", help="the clip whose motion is followed")
    add(
        "masks",
        nargs="+",
        metavar="[TIME=]MASK",
        help="image drawn on the frame at this time (default: on the first frame), white where the "
        "mask is; it covers the shot of that frame, of several in a shot the one nearer in time",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="OUTPUT",
        help="clip of masks to write, for --mask and --region (default: CLIP_mask.mkv next to the "
        "clip)",
    )
    add(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="also write a clip that shows the masks on the frames",
    )
    add(
        "-r",
        dest="rate",
        type=values.rate,
        metavar="N",
        help="frames per second of an image sequence, as for its render (default: 25)",
    )
    add(
        "--json",
        metavar="FILE",
        help="write the progress as JSON lines to this file, or to standard output (-)",
    )
    add("-y", dest="overwrite", action="store_true", help="replace existing outputs")


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Carry masks along the motion of a clip."""
    from ..inputs import default_output
    from ..mask_clip import carry_masks
    from ..progress import MaskEvent, ProgressDisplay

    with usage_errors(parser):
        masks = dict(_timed(text) for text in args.masks)
        if len(masks) < len(args.masks):
            raise ValueError("two masks have the same time: give each its own, as in 0:07=b.png")
    output = args.output or default_output(args.clip, ["mask"], None).with_suffix(".mkv")
    outputs = [output, *filter(None, [args.overlay])]
    check_outputs(args, outputs, [args.clip, *masks.values()], args.overwrite)
    with events_written(args.json) as listener:
        display = partial(ProgressDisplay, quiet=args.quiet, listener=listener)
        covers = carry_masks(
            args.clip,
            masks,
            outputs,
            rate=args.rate,
            overwrite=args.overwrite,
            make_display=display,
        )
        if listener is not None:
            listener(MaskEvent(str(output), covers))


def _timed(text: str) -> tuple[Fraction, str]:
    """Time and file of ``TIME=FILE``, or of a file for the first frame."""
    from ..io.files import in_home

    match = re.fullmatch(r"([\d:.]+)=(.+)", text)
    return (parse_time(match[1]), in_home(match[2])) if match else (Fraction(0), text)
