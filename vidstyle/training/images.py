"""Training images: reading a folder or tar file, and augmentation."""

import logging
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from ..errors import InputError
from ..io.files import check_readable
from ..io.image_names import is_still
from ..io.images import decode_image
from ..runtime.interrupts import check

log = logging.getLogger(__name__)

MIN_IMAGES = 4
"""Two images to tell apart, and two that are held out."""

MAX_NOISE = 0.15
"""Largest standard deviation of added noise."""

DETAIL_SIGMA_PX = 1.5
"""Standard deviation of the Gaussian blur that separates detail."""


def read_images(
    path: Path, side_px: int, report: Callable[[int], None] = lambda count: None
) -> Tensor:
    """Read all images of a folder, subfolders included, or of a tar file, as square centre crops.

    Files of other kinds are skipped. Images that cannot be read are skipped with a warning.

    Args:
        path: of the folder or tar file.
        side_px: side S of the crops.
        report: called with the number of images so far, after each.

    Returns:
        (N, 3, S, S) uint8 RGB.

    Raises:
        InputError: the path cannot be read, or has fewer than ``MIN_IMAGES`` images.
    """
    images = []
    for image in read_photos(path):
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        resized = cv2.resize(
            np.ascontiguousarray(image[top : top + side, left : left + side]),
            (side_px, side_px),
            interpolation=cv2.INTER_AREA if side_px < side else cv2.INTER_CUBIC,
        )
        images.append(torch.from_numpy(resized).permute(2, 0, 1))
        report(len(images))
    if len(images) < MIN_IMAGES:
        raise InputError(
            f"{path} holds {len(images)} readable images: training needs at least {MIN_IMAGES}, "
            "two of them held out, and better 1,000"
        )
    return torch.stack(images)


def read_photos(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The images of a folder, subfolders included, or of a tar file, (H, W, 3) uint8 RGB.

    Files of other kinds are skipped. Images that cannot be read are skipped with a warning.

    Raises:
        InputError: the path cannot be read.
    """
    unreadable = []
    for name, data in _image_data(path):
        check()
        try:
            image = decode_image(data, name)
        except InputError as error:
            unreadable.append(str(error))
            continue
        if image is None:
            unreadable.append(f"{name} is damaged or no image")
            continue
        yield image
    if unreadable:
        log.warning("%d images were skipped, the first since %s", len(unreadable), unreadable[0])


def image_files(folder: Path) -> list[Path]:
    """Paths of all images in a folder and its subfolders, sorted; empty if it is not a folder."""
    return (
        [file for file in sorted(folder.rglob("*")) if is_still(file) and file.is_file()]
        if folder.is_dir()
        else []
    )


def _image_data(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file whose name has the extension of an image."""
    if path.is_dir():
        for file in image_files(path):
            yield str(file), file.read_bytes()
        return
    try:
        with tarfile.open(check_readable(path)) as archive:
            for member in archive:
                if is_still(member.name) and member.isfile():
                    stream = archive.extractfile(member)
                    if stream is not None:
                        yield member.name, stream.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{path} is neither a folder nor a tar file of images ({error}): name one"
        ) from None


def augmented_crops(
    images: Tensor,
    crop_px: int,
    generator: torch.Generator,
    scales: tuple[float, float] = (0.2, 0.9),
) -> Tensor:
    """One random crop of each image: scaled, rotated, stretched, flipped, recoloured.

    Each image of the batch gets parameters of its own from one generator, in two operations on the
    device. torchvision's transforms draw one set of parameters for a whole batch, and from the
    global generator, which would change the trained weights.

    Args:
        images: (B, 3, S, S) uint8 RGB.
        crop_px: side of the crops.
        generator: on the CPU, so that crops are the same on all devices.
        scales: smallest and largest side of a crop, relative to S.

    Returns:
        (B, 3, crop_px, crop_px) float32, about [0, 1].
    """
    count, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * (high - low) + low

    def normal(std: float, *shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator) * std

    scale, angle, stretch = uniform(*scales), normal(0.25), torch.exp(normal(0.12))
    flip = torch.where(uniform(0, 1) < 0.5, 1.0, -1.0)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * angle.cos() * flip * stretch, -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos() / stretch
    matrix[:, :, 2] = uniform(-1, 1, 2) * (1 - scale)[:, None]
    contrast, saturation = uniform(0.6, 1.4, 1, 1, 1), uniform(0.5, 1.4, 1, 1, 1)
    saturation = torch.where(uniform(0, 1, 1, 1, 1) < 0.15, 0.0, saturation)  # some are grey
    tint = normal(0.08, 3, 1, 1)

    grid = F.affine_grid(matrix.to(device), [count, 3, crop_px, crop_px], align_corners=False)
    crops = F.grid_sample(
        images.float() / 255, grid, padding_mode="reflection", align_corners=False
    )
    grey = crops.mean(1, keepdim=True)
    crops = grey + (crops - grey) * saturation.to(device)
    return (crops - 0.5) * contrast.to(device) + 0.5 + tint.to(device)


def with_texture(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Blur or sharpen each crop, and add noise to some.

    Stylised images have more fine detail than photographs, and an optimiser starts from images with
    less. Detail is what a Gaussian blur takes away.

    Args:
        crops: (B, 3, H, W) RGB in [0, 1].
        generator: on the CPU.

    Returns:
        The same shape, not clipped.
    """
    count, device = len(crops), crops.device
    gain = torch.rand(count, 1, 1, 1, generator=generator) * 3 - 0.8
    sigma = (torch.rand(count, 1, 1, 1, generator=generator) - 0.6).clamp_min(0) * MAX_NOISE / 0.4
    noise = torch.randn(crops.shape, generator=generator)
    detail = crops - gaussian_blur(crops, [9, 9], [DETAIL_SIGMA_PX, DETAIL_SIGMA_PX])
    changed: Tensor = crops + gain.to(device) * detail + (sigma * noise).to(device)
    return changed
