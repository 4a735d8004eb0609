"""A trial of trained features on images that they were not trained on."""

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from ..features.extractor import Features
from ..io.frame import Frame, Image
from ..metrics import QualityMetrics, colors_only, evaluate
from ..ops.tensors import to_image, to_tensor
from ..settings import Settings
from ..stylizer.style import Style
from ..stylizer.stylizer import Stylizer

TRIAL_STEPS = 60
"""Optimiser steps of the stylisation of a held-out image."""


class Trial(NamedTuple):
    """Stylisation of one held-out image in the style of another.

    Attributes:
        stylized: metrics of the stylised image.
        control: metrics of the ``colors_only`` control.
        sheet: content, style and stylised image side by side, (S, 3 S, 3) uint8 RGB.
    """

    stylized: QualityMetrics
    control: QualityMetrics
    sheet: Image


def held_out_trial(
    features: Features,
    content: Tensor,
    style: Tensor,
    report: Callable[[int], None] = lambda step: None,
) -> Trial:
    """Stylise an image that the features were not trained on.

    Args:
        features: on any device.
        content, style: (3, S, S) uint8 RGB.
        report: called with the number of each of the ``TRIAL_STEPS`` when it begins, from 1.
    """
    content, style = content[None].float() / 255, style[None].float() / 255
    stylizer = Stylizer(
        features, Style((style,), (1.0,), features), Settings(initial_steps=TRIAL_STEPS)
    )
    numbers = count(1)
    stylizer.on_iteration = lambda: report(next(numbers))
    stylized = to_tensor(stylizer(Frame(to_image(content))).image)
    control = evaluate(colors_only(content, style), content, style)
    return Trial(
        evaluate(stylized, content, style),
        control,
        to_image(torch.cat([content, style, stylized], 3)),
    )
