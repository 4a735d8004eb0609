"""Losses of your own: a new style statistic, and a region mask.

The statistic is the mean and standard deviation of each channel (Huang & Belongie 2017, "Arbitrary
Style Transfer in Real-time with Adaptive Instance Normalization"), next to the Gram matrices. The
region mask keeps the content of one part of the image.

    python examples/custom_loss.py [INPUT [STYLE [OUTPUT]]]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

import vidstyle as vs

SAMPLES = Path(__file__).parent.parent / "samples"


@dataclass(frozen=True)
class ChannelStatisticsLoss(vs.Loss):
    """Relative squared difference of the channels' means and standard deviations."""

    name = "channels"
    layers = ("relu2_1", "relu3_1")

    def style_target(self, style, size):
        """Computed once for each style and size: the average over the style images."""
        sums = dict.fromkeys(self.layers, 0)
        for share, image in style.resized_images(size):
            activations = style.features(image, self.layers)
            for layer in self.layers:
                sums[layer] = sums[layer] + share * statistics(activations[layer])
        return sums

    def __call__(self, image, activations, target):
        """Computed at each step. PyTorch differentiates it."""
        losses = [
            (statistics(activations[layer]) - target[layer]).square().mean()
            / target[layer].square().mean()
            for layer in self.layers
        ]
        return torch.stack(losses).mean()


def statistics(activations):
    """Mean and standard deviation of each channel, (2, C) float32, of (1, C, H, W)."""
    deviation, mean = torch.std_mean(activations.float(), (0, 2, 3))
    return torch.stack([mean, deviation])


class RegionContentLoss(vs.Loss):
    """Mean squared difference from the pixels of the content within a mask.

    The loss holds a tensor, so it is a plain class, compared by identity, and not a dataclass.

    Args:
        mask: (1, 1, h, w) in [0, 1] of any size, 1 where the content is kept.
    """

    name = "region"

    def __init__(self, mask):
        self.mask = mask

    def target(self, frame):
        """Computed for each frame: the content, and the mask at its size."""
        mask = self.mask.to(frame.content)
        size = frame.content.shape[-2:]
        return frame.content, F.interpolate(mask, size, mode="bilinear", align_corners=False)

    def __call__(self, image, activations, target):
        """Computed at each step."""
        content, mask = target
        return ((image - content).square() * mask).mean()


def center_mask():
    """A soft disc in the middle of the image."""
    x = torch.linspace(-1, 1, 64)
    return (1.5 - 2 * torch.hypot(x[:, None], x[None])).clamp(0, 1)[None, None]


def main(source_path, style_path, output_path, features=None, settings=None):
    """Stylise a clip with both losses, and return the losses of the last frame."""
    features = features or vs.load_features("bundled", device="auto")
    region = RegionContentLoss(center_mask())  # made once: another instance is another program

    def losses(features, settings):
        return {
            **vs.default_losses(features, settings),
            ChannelStatisticsLoss(): 0.5,
            region: 2.0,
        }

    style = vs.Style.from_images([style_path], features)
    stylizer = vs.Stylizer(features, style, settings or vs.PRESETS["draft"], losses)
    with (
        vs.open_source(source_path) as source,
        vs.open_sink(output_path, source, overwrite=True) as sink,
    ):
        vs.run(source, stylizer, [sink])
    return stylizer.iterations[-1].losses


if __name__ == "__main__":
    defaults = [
        SAMPLES / "clips" / "balloons.mp4",
        SAMPLES / "styles" / "ink.jpg",
        "custom-loss.mp4",
    ]
    paths = [*sys.argv[1:], *defaults[len(sys.argv) - 1 :]]
    for name, value in main(*paths[:3]).items():
        print(f"{name:10} {value:.5f}")
