"""The command ``vidstyle bench``."""

import argparse
from dataclasses import replace

from .bench_flags import SPEED_FLAGS, TEMPORAL_FLAGS
from .usage import flag_of, usage_errors, weights_files


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Measure speed or temporal consistency."""
    from ..io.files import check_writable
    from ..io.outputs import check_apart

    with usage_errors(parser):
        for name in SPEED_FLAGS if args.temporal else TEMPORAL_FLAGS:
            if getattr(args, name):
                works = "cannot be used with" if args.temporal else "needs"
                raise ValueError(f"{flag_of(name)} {works} --temporal")
        if args.regions and (args.clip or args.picture):
            raise ValueError("--regions measures generated clips: leave out --clip and --picture")
        if args.sintel and (args.clip or args.picture or args.regions):
            raise ValueError("--sintel is measured alone: leave out --clip, --picture, --regions")
        for name, value, lowest in (
            ("frames", args.frames, 8),
            ("drift-frames", args.drift_frames, 2),
            ("size", args.size, 64),
        ):
            if value is not None and value < lowest:
                raise ValueError(f"--{name} is {value}: it must be {lowest} or more")
    clip = [args.clip] if args.clip else []
    written = [file for file in (args.json, args.picture) if file]
    check_apart(written, (*clip, *(args.styles or ()), *weights_files(args)))
    for file in written:
        check_writable(file, args.overwrite)
    if args.temporal:
        _bench_temporal(args, parser)
    else:
        _bench_speed(args, parser)


def _bench_speed(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from ..bench.speed import (
        QUICK,
        RANDOM_VGG19,
        SpeedOptions,
        default_style_image,
        random_vgg19_features,
        speed,
    )
    from ..features.weights import load_features
    from ..stylizer.style import Style

    with usage_errors(parser):
        chosen = {
            name: getattr(args, name)
            for name in ("sizes", "presets", "engines", "precisions")
            if getattr(args, name)
        }
        start = QUICK if args.quick else SpeedOptions()
        bench = replace(
            start,
            frames=args.frames,
            baseline=args.baseline,
            memory=args.memory,
            json=args.json,
            **chosen,
        )
        random = args.features == RANDOM_VGG19
        features = (
            random_vgg19_features(args.device)
            if random
            else load_features(args.features, args.device, args.weights)
        )
    speed(bench, Style.from_images(args.styles or [default_style_image()], features), args.features)


def _bench_temporal(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from ..bench.sintel import SINTEL_WIDTH_PX
    from ..bench.temporal import TemporalOptions, temporal
    from ..features.weights import load_features
    from ..flow.methods import load_flow
    from ..runtime.device import choose_device
    from ..stylizer.style import Style

    with usage_errors(parser):
        if args.styles is None:
            raise ValueError("--temporal needs a style image: add --style STYLE")
        features = load_features(args.features, args.device, args.weights)
        flow = load_flow(args.flow or "match", choose_device(args.device), args.flow_weights)
        size = args.size or (SINTEL_WIDTH_PX if args.sintel else None)
        sizes = {"size": size, "drift_frames": args.drift_frames}
        given = {name: value for name, value in sizes.items() if value is not None}
        bench = TemporalOptions(
            args.clip,
            frames=args.frames,
            json=args.json,
            picture=args.picture,
            regions=args.regions,
            sintel=args.sintel,
            **given,
        )
    temporal(bench, Style.from_images(args.styles, features), flow)
