"""The interface of a loss: one term of the objective.

A loss is one class in one file. It names the feature layers that it reads, prepares its target from
the style and from each frame, and is a scalar function of the image that is optimised.
``default_losses`` lists the losses in use with their weights; ``Stylizer(..., losses=...)`` takes
another list.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ..features.extractor import Features


class StyleSize(NamedTuple):
    """Size at which style images are analysed.

    Attributes:
        working_px: long side in px of the image that is optimised; larger style images are reduced
            to it.
        scale: factor of the size after that. Style images are enlarged by a factor above 1 alone.
    """

    working_px: int
    scale: float = 1.0


class StyleStatistics(Protocol):
    """The part of ``Style`` that a loss prepares its target with."""

    @property
    def features(self) -> Features:
        """Compute the activations of its images."""

    def resized_images(self, size: StyleSize) -> list[tuple[float, Tensor]]:
        """(share, (1, 3, H, W) RGB in [0, 1]) of each style image; shares sum to 1."""

    def grams(self, size: StyleSize, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Layer -> Gram matrix, the average over the style images."""

    def patches(self, size: StyleSize) -> Any:
        """``StylePatches`` of the style images."""


class Regions(NamedTuple):
    """Parts of a frame that have their own styles (Gatys et al. 2017, section 4).

    Attributes:
        masks: (1, R, H, W) in [0, 1], one for each region; they sum to 1 at each pixel. The first
            is the rest of the frame, which no mask of the user covers.
        content_gains: (R,), factors of the content weight.
        temporal_gains: (R,), factors of the temporal weight.
    """

    masks: Tensor
    content_gains: Tensor
    temporal_gains: Tensor

    def map_of(self, gains: Tensor) -> Tensor:
        """The factor at each pixel, (1, 1, H, W), of a factor for each region, (R,)."""
        return (self.masks * gains[None, :, None, None]).sum(1, keepdim=True)


class FrameContext(NamedTuple):
    """The inputs from which a loss computes its target for one frame.

    Attributes:
        features: compute activations of any other image.
        content: (1, 3, H, W) RGB in [0, 1], the frame in colours nearer to the style's.
        activations: layer -> (1, C, H', W') of ``content``, for all ``Loss.content_layers``.
        style: the result of ``Loss.style_target`` of the same loss.
        previous: (1, 3, H, W), the earlier stylised frame warped by optical flow; None: a first
            frame.
        valid: (1, 1, H, W), 1 where ``previous`` shows what the frame shows, 0 in disoccluded
            regions.
        painted: (1, 4, H, W), the painting that the frame is held to, and how closely; None: there
            is none.
        emphasis: (1, 1, H, W) in [0, 1], 1 where the content counts more; None: nowhere.
    """

    features: Features
    content: Tensor
    activations: Mapping[str, Tensor]
    style: Any
    previous: Tensor | None = None
    valid: Tensor | None = None
    painted: Tensor | None = None
    emphasis: Tensor | None = None


class Loss:
    """One term of the objective. A subclass sets ``name`` and overrides at least ``__call__``.

    An instance is a constant: a frozen dataclass of names and numbers, compared by value. A
    compiled program or CUDA graph is used for equal losses, and takes their targets as inputs. So
    every tensor, and all that changes from frame to frame, belongs to the target: nested tuples,
    named tuples and dicts of tensors. A loss that has to hold a tensor, such as a region mask, is
    a plain class, compared by identity, and returns the tensor from ``target``.

    Example::

        @dataclass(frozen=True)
        class MeanColorLoss(Loss):
            name = "mean_color"

            def style_target(self, style, size):
                return sum(share * image.mean((2, 3)) for share, image in
                style.resized_images(size))

            def __call__(self, image, activations, target):
                return (image.mean((2, 3)) - target).square().mean()
    """

    name: str
    """Unique among the losses of an objective; the key of its values in traces."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Feature layers that ``__call__`` reads."""
        return ()

    @property
    def content_layers(self) -> tuple[str, ...]:
        """Feature layers of the content that ``target`` reads."""
        return ()

    def style_target(self, style: StyleStatistics, size: StyleSize) -> Any:
        """Prepare the part of the target that depends on the style alone.

        It is cached by the style and the sizes in px at which its images are analysed.

        Args:
            style: the style images and their statistics.
            size: at which the style images are analysed, for the methods of ``style``. Two sizes
                at which the images are the same have one target.
        """
        return ()

    def target(self, frame: FrameContext) -> Any:
        """Prepare the target of one frame; None: the loss has no part in this frame.

        On CUDA this function is recorded as a CUDA graph, so it must neither copy from the device
        nor branch on values.
        """
        return frame.style

    def region_target(
        self, frame: FrameContext, style_targets: Sequence[Any], regions: Regions
    ) -> Any:
        """Prepare the target of one frame whose regions have their own styles.

        By default the style of the first region applies to the whole frame.

        Args:
            frame: its ``style`` is that of the first region.
            style_targets: the result of ``style_target`` for each region.
            regions: of the size of the frame.
        """
        return self.target(frame)

    def fix_target(self, target: Any, image: Tensor, features: Features) -> Any:
        """The target of the next steps, where it depends on the image that these steps start from.

        Args:
            target: from ``target``, or from an earlier call of this method.
            image: (1, 3, H, W) RGB in [0, 1].
            features: compute its activations.
        """
        return target

    def __call__(self, image: Tensor, activations: Mapping[str, Tensor], target: Any) -> Tensor:
        """The loss, a float32 scalar that autograd can differentiate.

        Args:
            image: (1, 3, H, W) RGB in [0, 1].
            activations: layer -> (1, C, H', W') of the image, for at least ``layers``.
            target: from ``fix_target``.
        """
        raise NotImplementedError
