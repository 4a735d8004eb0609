"""The command ``vidstyle train-features``."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..runtime.interrupts import deferred
from ..training.config import DISTILLATION, TrainConfig
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
    add(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="torchvision's weights of VGG-16 (.pth), whose features are learnt; without a teacher "
        "the network learns to tell the images apart",
    )
    add("-y", dest="overwrite", action="store_true", help="replace an existing file")
    for name, text in (("steps", "training steps"), ("batch", "crops per step"), ("seed", "seed")):
        with_teacher, without = getattr(DISTILLATION, name), getattr(TrainConfig, name)
        default = (
            f"{without}; {with_teacher} with a teacher" if with_teacher != without else without
        )
        add(f"--{name}", type=int, metavar="N", help=f"{text} (default: {default})")
    add_device_flags(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Train a feature network."""
    from ..features.weights import bundled_features, read_network, vgg_network, write_network
    from ..io.files import check_writable
    from ..io.images import write_image
    from ..io.locks import OutputLock
    from ..io.outputs import check_apart
    from ..progress import ProgressDisplay
    from ..runtime.device import choose_device
    from ..training.images import image_files, read_images
    from ..training.loop import Progress, make_task, train
    from ..training.trial import TRIAL_STEPS, held_out_trial

    with usage_errors(parser):
        config = _config(args)
        device = choose_device(args.device)
    check_writable(args.output, args.overwrite)
    checkpoint = args.output.with_name(f"{args.output.name}.checkpoint")
    sheet = check_writable(args.output.with_name(f"{args.output.stem}.png"), args.overwrite)
    files = image_files(args.images)
    sources = [args.images, *files, *([args.teacher] if args.teacher else [])]
    check_apart([args.output, sheet, checkpoint], sources)
    teacher = vgg_network("vgg16", args.teacher, "max").to(device) if args.teacher else None
    with OutputLock(args.output), deferred():
        with ProgressDisplay("image", len(files) or None, args.quiet) as display:
            images = read_images(args.images, config.picture_px, display.show)
        with ProgressDisplay("step", config.steps, args.quiet) as display:

            def report(progress: Progress) -> None:
                display.show(
                    progress.step,
                    f"loss {progress.loss:.3f}, {progress.score:.0%} {task.score_name}",
                )

            used, content, style = images[:-2], images[-2], images[-1]
            task = make_task(config, len(used), teacher)
            task.watch = display.show
            weights = train(task, used, config, device, report, checkpoint)
        card = f"{len(used)} images, {config}" + (", teacher VGG-16" if teacher else "")
        write_network(args.output, weights, task.shape, card)
        checkpoint.unlink(missing_ok=True)
        with ProgressDisplay("iteration", TRIAL_STEPS, args.quiet) as display:
            features = bundled_features(read_network(args.output)).to(device)
            trial = held_out_trial(features, content, style, display.show)
        write_image(sheet, trial.sheet)
    print(
        f"the last but one image, stylised in the style of the last one (both held out), "
        f"is in {sheet}: {trial.stylized}"
    )
    print(f"for comparison, with the colours of the style alone: {trial.control}")


def _config(args: argparse.Namespace) -> TrainConfig:
    """The training of the command's flags."""
    given = {name: getattr(args, name) for name in ("steps", "batch", "seed")}
    known = {name: value for name, value in given.items() if value is not None}
    return replace(DISTILLATION, **known) if args.teacher else TrainConfig(**known)
