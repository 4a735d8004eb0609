"""The flags of ``vidstyle render``."""

import argparse
from pathlib import Path

from ..settings import FITS, PRESETS
from . import values
from .shared_flags import (
    add_basic_settings,
    add_expert_settings,
    add_faces,
    add_model_flags,
    add_preset_flag,
)

EXAMPLES = """examples:
  vidstyle clip.mp4 painting.jpg                 writes clip_painting.mp4
  vidstyle clip.mp4 strokes -o out.mp4           in the bundled style "strokes"
  vidstyle clip.mp4 ink --preview 0:12           one frame and an estimate of the time
  vidstyle clip.mp4 ink mosaic --preset draft    a fast blend of two styles
  vidstyle holiday/ -s watercolor                every clip and image of a folder"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of the command: basic ones first, then groups for experts."""
    parser.usage = "vidstyle render [INPUT] [STYLE ...] [-o OUTPUT] [options]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    _add_names(parser)
    presets = "standard for clips, still for images"
    add_preset_flag(parser, None, presets)
    parser.add_argument(
        "--style-weights",
        type=values.numbers,
        metavar="W,W",
        help="blend weights of several styles (default: equal weights)",
    )
    _add_size(parser)
    add_basic_settings(parser, PRESETS["standard"], without=("size",))
    _add_part(parser)
    _add_mask(parser)
    _add_keyframes(parser)
    _add_range(parser)
    _add_existing(parser)
    _add_encoding(parser)
    _add_reports(parser)
    _add_cluster(parser)
    add_expert_settings(parser, PRESETS["standard"])
    add_model_flags(parser)


def _add_names(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "input",
        nargs="?",
        metavar="INPUT",
        help="clip, image, folder, image sequence (frame_%%05d.png), URL, or - for standard input",
    )
    add(
        "names",
        nargs="*",
        metavar="STYLE",
        help="style image(s), or names of bundled styles such as strokes; several are blended",
    )
    add(
        "-i",
        "--input",
        dest="inputs",
        action="append",
        metavar="INPUT",
        help="an input (may be given more than once); names without a flag are then styles",
    )
    add(
        "-s",
        "--style",
        dest="styles",
        nargs="+",
        action="extend",
        metavar="STYLE",
        help="style(s); names without a flag are then inputs, and OUTPUT is a folder if there are "
        "several",
    )
    add(
        "-o",
        "--output",
        dest="output",
        metavar="OUTPUT",
        help="file to write, its format chosen by the ending (mp4 mov mkv webm gif webp png jpg); "
        "out_%%05d.png; or - for a pipe (default: INPUT_STYLE next to the input, with a number if "
        "that exists)",
    )


def _add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-ss",
        dest="start",
        type=values.time,
        metavar="TIME",
        help="start at this time, in seconds or [HH:]MM:SS",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "-t", dest="duration", type=values.time, metavar="TIME", help="stylise this duration only"
    )
    end.add_argument(
        "-to", dest="stop", type=values.time, metavar="TIME", help="stop at this time of the clip"
    )
    parser.add_argument(
        "--preview",
        type=values.time,
        metavar="TIME",
        help="write only the frame at this time (to OUTPUT if that is an image file, else to "
        "NAME.preview.png), and estimate the time for the whole clip",
    )


def _add_size(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--size",
        type=values.output_size,
        metavar="N",
        help="long side of the output in px (default: the source's), or its WIDTHxHEIGHT, such as "
        "1080x1920",
    )
    add(
        "--fit",
        choices=FITS,
        help="how frames of another shape get this width and height: fill crops them, pad adds "
        "bars, fit makes them as large as fits (default: fill)",
    )
    add(
        "--look",
        type=Path,
        metavar="FILE",
        help="change the colours of the stylised frames by this LUT (.cube)",
    )
    add(
        "--look-before",
        type=Path,
        metavar="FILE",
        help="change the colours of the frames by this LUT before they are stylised",
    )


def _add_mask(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("masks").add_argument
    add(
        "--mask",
        metavar="FILE",
        help="stylise only where this image or clip is white (or opaque, where it has alpha); "
        "`alpha`: the clip's own alpha; `person`, `background`: where a model finds people, or not",
    )
    add("--mask-invert", action="store_true", help="stylise where the mask is black")
    add(
        "--region",
        dest="regions",
        action="append",
        metavar="MASK=STYLE[,NAME=VALUE]",
        help="another style where this mask is white, as in --region person.mp4=ink,strength=0.8 "
        "or --region background=ink (may be given more than once; settings: strength, style-scale, "
        "content-weight; without a style: person.mp4=,strength=0; name=NAME names it for --at, "
        "otherwise the mask does, without its ending)",
    )
    add(
        "--person-model",
        type=Path,
        metavar="FILE",
        help="model that finds people: .tflite or .onnx, or the state dict of torchvision's "
        "lraspp_mobilenet_v3_large (default: that one, downloaded once)",
    )
    add_faces(add)


def _add_keyframes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("changes over time").add_argument
    add(
        "--at",
        nargs="+",
        action="append",
        metavar=("TIME", "NAME=VALUE"),
        help="change the style or settings at this time of the clip, over FADE seconds: --at 0:10 "
        "style=b.jpg strength=0.6 fade=2 easing=smooth (may be given more than once; settings: "
        "strength, style-scale, original-colors, temporal and all weights but that of paintings; "
        "without a fade a new style begins as after a cut; region=person changes style, strength, "
        "style-scale and content-weight of that region alone)",
    )
    add(
        "--timeline",
        metavar="FILE",
        help="the same from a TOML file: a table [[keyframe]] for each change, with the keys time, "
        "region, style, style_weights, strength, ..., fade and easing",
    )
    add(
        "--keyframe",
        dest="painted",
        action="append",
        metavar="TIME=IMAGE",
        help="a painting of the frame at this time, by hand or by another program: it is carried "
        "along the motion, up to 120 frames both ways, and the style fills in the rest (may be "
        "given more than once)",
    )


def _add_range(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("one range of the frames").add_argument
    add(
        "--frames",
        type=values.frames,
        metavar="START-END",
        help="stylise only these frames, counted from 0, both included, into a file such as "
        "000.mp4.segments; `vidstyle join` puts such files together",
    )
    add(
        "--seam-frames",
        type=values.count,
        metavar="N",
        help="where the range ends within a shot: fade its last N frames to the next range, so "
        "that no seam shows (default: 24)",
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many GPUs and machines (needs vidstyle[ray])")
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="stylise the shots of clips on the workers of a Ray cluster at HOST:PORT; without an "
        "address on several workers of this machine",
    )
    for flag, kind, text in (
        ("--workers", int, "number of workers (default: as many as the cluster has room for)"),
        ("--gpus-per-worker", float, "GPUs of each worker, 0.5 for two workers on each GPU"),
        ("--cpus-per-worker", int, "CPU cores and threads of each worker"),
        ("--max-tries", int, "tries of a shot whose worker or machine fails (default: 3)"),
    ):
        group.add_argument(flag, type=kind, metavar="N", help=text)
    group.add_argument(
        "--split",
        type=values.split,
        metavar="FRAMES",
        help="split shots with more frames than this, or `shots`: keep them whole, so that the "
        "result is that of one machine (default: shots)",
    )


def _add_existing(parser: argparse.ArgumentParser) -> None:
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "-y", dest="overwrite", action="store_true", help="replace an existing output"
    )
    existing.add_argument(
        "-n",
        dest="never",
        action="store_true",
        help="never replace an existing output, and do not ask",
    )
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="skip inputs whose output exists, and resume unfinished ones",
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume an unfinished run of the same command"
    )


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("encoding").add_argument
    add("-an", dest="sound", action="store_false", help="do not copy the audio")
    add(
        "-c:v",
        dest="codec",
        metavar="NAME",
        help="h264, hevc, av1, vp9, prores, ffv1, hardware, or FFmpeg's name of an encoder",
    )
    add(
        "-crf",
        type=int,
        metavar="N",
        help="quality of the video encoder, lower is better (default: 17 for H.264)",
    )
    add(
        "-f",
        dest="pipe",
        default="matroska",
        metavar="NAME",
        help="container on standard output: matroska, nut, yuv4mpegpipe (default: matroska)",
    )
    add(
        "-r",
        dest="rate",
        type=values.rate,
        metavar="N",
        help="frames per second of an image sequence, such as 30000/1001 (default: 25)",
    )
    add(
        "--hdr",
        choices=("keep", "sdr"),
        default="keep",
        help="keep HDR, or convert it to standard dynamic range (default: keep)",
    )


def _add_reports(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("reports").add_argument
    add(
        "--json",
        metavar="FILE",
        help="write the progress as JSON lines, for other programs; - for standard output",
    )
    add(
        "--trace",
        type=Path,
        metavar="FILE",
        help="write the losses of all iterations as .json, or as a .png plot",
    )
