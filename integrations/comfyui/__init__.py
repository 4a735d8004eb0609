"""Nodes of ComfyUI that stylise a video or a batch of images with vidstyle.

Frames are stylised in order, each from the one before. ComfyUI runs nodes in PyTorch's inference
mode, which this pack leaves while it works, because vidstyle computes gradients.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import PIL.Image
import torch
from comfy_api.latest import ComfyExtension, InputImpl, io

import vidstyle as vs

LEVELS = 65535
"""Largest value of a pixel in vidstyle, where 1.0 is that of a pixel in ComfyUI."""

FRAME_RATE = Fraction(25)
"""Frames per second of a batch of images, which has no rate of its own."""

PREVIEW_PX = 512
"""Long side of the preview of a stylised frame below the node."""

LIMITS = {setting.name: setting.metadata for setting in fields(vs.Settings)}
"""Name of a setting -> its help and its limits."""


def settings_inputs() -> list[io.Input]:
    """The inputs of both nodes after the images and the style."""
    scale, strength = LIMITS["style_scale"], LIMITS["strength"]
    return [
        io.Combo.Input(
            "preset",
            options=list(vs.PRESETS),
            default="standard",
            tooltip="how many iterations each frame gets: draft is fast, final is best",
        ),
        io.Float.Input(
            "strength",
            default=1.0,
            min=strength["low"],
            max=strength["high"],
            step=0.05,
            tooltip=strength["help"],
        ),
        io.Float.Input(
            "style_scale",
            default=1.0,
            min=scale["low"],
            max=scale["high"],
            step=0.1,
            tooltip=scale["help"],
        ),
        io.Float.Input(
            "content_factor",
            default=1.0,
            min=0.0,
            max=20.0,
            step=0.1,
            tooltip="times the content weight of the preset: larger values keep more of the "
            "source's shapes",
        ),
        io.Int.Input(
            "working_size",
            default=0,
            min=0,
            max=LIMITS["working_size"]["high"],
            step=32,
            tooltip="long side in px at which frames are optimised before they are enlarged to "
            "their own size; 0: 512 on a CPU, 1280 on a GPU",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="one mask for all frames, or one for each: white is stylised, black stays",
        ),
    ]


def to_pixels(images: torch.Tensor) -> Iterator[np.ndarray]:
    """The images of a batch, (B, H, W, C) floats from 0 to 1, as (H, W, C) uint16 arrays."""
    for image in images:
        yield np.round(image.clamp(0, 1).double().cpu().numpy() * LEVELS).astype(np.uint16)


def to_masks(mask: torch.Tensor | None, images: torch.Tensor) -> Iterator[np.ndarray | None]:
    """A mask for each image, (H, W) uint8 of its size.

    Args:
        mask: (H, W) or (B, H, W) floats from 0 to 1 of any size, B being 1 or the number of images.
        images: (B, H, W, C).

    Raises:
        ValueError: another number of masks.
    """
    count, height, width = images.shape[:3]
    if mask is not None and mask.ndim == 2:  # some nodes give a single mask without a batch
        mask = mask[None]
    if mask is not None and len(mask) not in (1, count):
        raise ValueError(f"there are {len(mask)} masks for {count} images: give one, or {count}")
    for number in range(count):
        if mask is None:
            yield None
            continue
        one = mask[number % len(mask)].float().cpu()[None, None]
        sized = torch.nn.functional.interpolate(one, (height, width), mode="bilinear")
        yield np.round(sized[0, 0].clamp(0, 1).numpy() * 255).astype(np.uint8)


def device() -> str:
    """The device that ComfyUI computes on; the CPU where vidstyle does not know that device."""
    chosen = comfy.model_management.get_torch_device()
    return str(chosen) if chosen.type in ("cuda", "mps") else "cpu"


class Progress:
    """Shows the work on ComfyUI's bar of the node, and ends it when the user cancels.

    Args:
        frames: number of images. A single image is counted by its iterations.
    """

    def __init__(self, frames: int) -> None:
        self._bar = comfy.utils.ProgressBar(frames)
        self._done = 0

    def __call__(self, event: vs.ProgressEvent) -> None:
        """Called by vidstyle at each iteration and frame."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._done = event.done
        self._bar.update_absolute(event.done, event.total)

    def show(self, pixels: np.ndarray) -> None:
        """Show an image, (H, W, C) uint16, below the node."""
        picture = PIL.Image.fromarray((pixels[..., :3] >> 8).astype(np.uint8))
        self._bar.update_absolute(self._done, preview=("JPEG", picture, PREVIEW_PX))


def stylize_images(
    images: torch.Tensor,
    style: torch.Tensor,
    mask: torch.Tensor | None,
    rate: Fraction,
    options: dict[str, Any],
) -> torch.Tensor:
    """Stylise a batch of images as the frames of a clip, one image as a still.

    Args:
        images: (B, H, W, C) floats from 0 to 1.
        style: the same of any size; several are blended.
        mask: as for ``to_masks``.
        rate: of the frames per second.
        options: values of the inputs of ``settings_inputs`` by name.

    Returns:
        (B, H, W, C) float32 on the CPU.
    """
    count = len(images)
    frames = (
        vs.Frame(pixels, number / rate, mask=masked)
        for number, (pixels, masked) in enumerate(
            zip(to_pixels(images), to_masks(mask, images), strict=True)
        )
    )
    preset = vs.PRESETS[options["preset"]]
    progress = Progress(count)
    keywords = {
        "preset": preset,
        "strength": options["strength"],
        "style_scale": options["style_scale"],
        "content_weight": preset.content_weight * options["content_factor"],
        "working_size": options["working_size"] or None,
        "device": device(),
        "progress": progress,
    }
    with torch.inference_mode(False):
        results = torch.empty(images.shape, dtype=torch.float32)
        styles = list(to_pixels(style))
        for number, frame in enumerate(stylized(count, frames, styles, keywords)):
            results[number] = torch.from_numpy(frame.image.astype(np.float32) / LEVELS)
            progress.show(frame.image)
    return results


def stylized(
    count: int, frames: Iterator[vs.Frame], styles: list[np.ndarray], keywords: dict[str, Any]
) -> Iterator[vs.Frame]:
    """The stylised frames."""
    if count == 1:
        return iter([vs.stylize(next(frames), styles, **keywords)])
    return vs.stylize_video(frames, styles, **keywords)


class StylizeVideo(io.ComfyNode):
    """A video in, a video out, with its audio and frame rate."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="VidstyleStylizeVideo",
            display_name="Stylise video (vidstyle)",
            category="vidstyle",
            description="Neural style transfer of a video, with optical flow between its frames.",
            inputs=[
                io.Video.Input("video"),
                io.Image.Input("style", tooltip="any image; several in a batch are blended"),
                *settings_inputs(),
            ],
            outputs=[io.Video.Output(display_name="video")],
        )

    @classmethod
    def execute(
        cls, video: Any, style: torch.Tensor, mask: torch.Tensor | None = None, **options: Any
    ) -> io.NodeOutput:
        """Stylise the frames, and keep all else."""
        parts = video.get_components()
        images = stylize_images(parts.images, style, mask, Fraction(parts.frame_rate), options)
        return io.NodeOutput(InputImpl.VideoFromComponents(replace(parts, images=images)))


class StylizeImages(io.ComfyNode):
    """A batch of images in, a batch of images out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="VidstyleStylizeImages",
            display_name="Stylise images (vidstyle)",
            category="vidstyle",
            description="Neural style transfer of an image, or of the frames of a clip in order.",
            inputs=[
                io.Image.Input("images"),
                io.Image.Input("style", tooltip="any image; several in a batch are blended"),
                *settings_inputs(),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        style: torch.Tensor,
        mask: torch.Tensor | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        """Stylise the images."""
        return io.NodeOutput(stylize_images(images, style, mask, FRAME_RATE, options))


class VidstyleExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Its nodes."""
        return [StylizeVideo, StylizeImages]


async def comfy_entrypoint() -> VidstyleExtension:
    """ComfyUI calls this function when it loads the pack."""
    return VidstyleExtension()
