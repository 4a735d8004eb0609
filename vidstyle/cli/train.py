"""The command ``vidstyle train-features``."""

import argparse
import sys
from pathlib import Path

from ..runtime.interrupts import deferred
from ..settings import TrainConfig
from .shared_flags import add_device_flags
from .usage import usage_errors


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of the command."""
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder or tar file of images")
    add(
        "-o",
        "--output",
        dest="output",
        type=Path,
        required=True,
        metavar="FILE",
        help="safetensors file to write",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing file")
    for name, text in (("steps", "training steps"), ("batch", "crops per step"), ("seed", "seed")):
        default = getattr(TrainConfig, name)
        help_text = f"{text} (default: %(default)s)"
        add(f"--{name}", type=int, default=default, metavar="N", help=help_text)
    add_device_flags(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Train a feature network."""
    from ..features.network import SMALL
    from ..features.weights import bundled_features, read_network, write_network
    from ..io.files import check_writable
    from ..io.images import write_image
    from ..io.locks import OutputLock
    from ..io.outputs import check_apart
    from ..progress import ProgressDisplay
    from ..runtime.device import choose_device
    from ..training import Progress, held_out_trial, train
    from ..training_images import image_files, read_images

    with usage_errors(parser):
        config = TrainConfig(steps=args.steps, batch=args.batch, seed=args.seed)
        device = choose_device(args.device)
    check_writable(args.output, args.overwrite)
    checkpoint = args.output.with_name(f"{args.output.name}.checkpoint")
    sheet = check_writable(args.output.with_name(f"{args.output.stem}.png"), args.overwrite)
    check_apart([args.output, sheet, checkpoint], [args.images, *image_files(args.images)])
    with OutputLock(args.output), deferred():
        images = read_images(args.images, config.picture_px)
        if checkpoint.exists():
            print(f"resumed from {checkpoint}", file=sys.stderr)
        with ProgressDisplay("step", config.steps, args.quiet) as display:

            def report(progress: Progress) -> None:
                display.show(
                    progress.step,
                    f"loss {progress.loss:.3f}, {progress.accuracy:.0%} of crops recognised",
                )

            used, content, style = images[:-2], images[-2], images[-1]
            weights = train(used, config, device, report, checkpoint)
        write_network(args.output, weights, SMALL, f"{len(used)} images, {config}")
        trial = held_out_trial(
            bundled_features(read_network(args.output)).to(device), content, style
        )
        write_image(sheet, trial.sheet)
    print(
        f"the last but one image, stylised in the style of the last one (both held out), "
        f"is in {sheet}: {trial.stylized}"
    )
    print(f"for comparison, with the colours of the style alone: {trial.control}")
