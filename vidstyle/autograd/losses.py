"""Autograd functions of the losses.

Each function has a ``*_reference`` of the same signature: the plain PyTorch expression that it
replaces. Values and gradients of both agree to within rounding; the hand-written one needs less
time and memory. All of them accept float64, float32, float16 and bfloat16 activations, and return
at least float32. Targets get no gradients.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.custom_ops import custom_op

CRASHING_BYTES = 1 << 20
"""Where the size in bytes of a bfloat16 matrix is a multiple of this, one product is made of two.

oneDNN (PyTorch 2.14) divides by zero, which ends the process, where a CPU with AMX and 2 MiB of L2
cache multiplies a matrix of 3 MiB by its transpose in one thread: 32 channels of 256 x 192 pixels.
"""

LAST_COLUMNS = 64
"""Columns of the second of these products."""

EPSILON = 1e-8
"""Smallest norm that a vector is divided by."""


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


# Gram matrices


def gram_rows(activations: Tensor) -> tuple[Tensor, float]:
    """Activations as one row per channel, and the factor that they were multiplied by.

    float16 is scaled before the product, which could overflow otherwise; hardware accumulates in
    float32.

    Args:
        activations: (1, C, H, W).

    Returns:
        (C, H W), a view in either memory format if the factor is 1.
    """
    maps = activations[0]
    contiguous = activations.is_contiguous()
    rows = maps.flatten(1) if contiguous else maps.permute(1, 2, 0).flatten(0, 1).T
    factor = rows.shape[1] ** -0.5 if activations.dtype == torch.float16 else 1.0
    return (rows if factor == 1 else rows * factor), factor


def gram_of_rows(rows: Tensor, factor: float) -> Tensor:
    """Gram matrix of ``gram_rows``, (C, C), at least float32, averaged over positions."""
    bytes_of_rows = rows.numel() * rows.element_size()
    if rows.dtype == torch.bfloat16 and rows.is_cpu and bytes_of_rows % CRASHING_BYTES == 0:
        first, last = rows[:, :-LAST_COLUMNS], rows[:, -LAST_COLUMNS:]
        product = _at_least_float32(first @ first.T) + _at_least_float32(last @ last.T)
    else:
        product = _at_least_float32(rows @ rows.T)
    return product * (1 / (rows.shape[1] * factor**2))


def flatten_matrices(matrices: Iterable[Tensor]) -> Tensor:
    """All elements of several matrices in one vector."""
    return torch.cat([matrix.flatten() for matrix in matrices])


def gram_loss(grams: Tensor, weights: Tensor, *activations: Tensor) -> Tensor:
    """Weighted squared difference of Gram matrices from a target (Gatys et al. 2015), a scalar.

    Gram matrices are symmetric, so the backward pass takes one product for each layer, where
    autograd takes two.

    Args:
        grams: the target of all layers, symmetric matrices flattened by ``flatten_matrices``.
        weights: of each element, of the same shape, symmetric too.
        activations: (1, C, H, W) of each layer.
    """
    loss: Tensor = _GramLoss.apply(grams, weights, *activations)
    return loss


def gram_loss_reference(grams: Tensor, weights: Tensor, *activations: Tensor) -> Tensor:
    """``gram_loss`` in plain PyTorch."""
    rows = [maps[0].flatten(1) for maps in activations]
    current = torch.cat([(x @ x.T / x.shape[1]).flatten() for x in rows])
    return ((current - grams).square() * weights).sum()


class _GramLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grams: Tensor, weights: Tensor, *activations: Tensor) -> Tensor:
        rows, ctx.factors = zip(*map(gram_rows, activations), strict=True)
        difference = flatten_matrices(map(gram_of_rows, rows, ctx.factors)) - grams
        weighted = difference * weights
        ctx.save_for_backward(weighted, *rows)
        ctx.sizes = [maps.shape[2:] for maps in activations]
        return torch.dot(difference, weighted)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weighted, *rows = ctx.saved_tensors
        parts = torch.split(weighted * (4 * gradients[0]), [len(row) ** 2 for row in rows])
        layers = zip(parts, rows, ctx.factors, ctx.sizes, strict=True)
        of_activations = (
            _times_rows(part * (1 / (row.shape[1] * factor)), row, size)
            for part, row, factor, size in layers
        )
        return (None, None, *of_activations)


def _times_rows(symmetric: Tensor, rows: Tensor, size: torch.Size) -> Tensor:
    """(C, C), flattened, times (C, H W) -> (1, C, H, W) in the memory format of the rows."""
    matrix = symmetric.view(len(rows), -1).to(rows.dtype)
    if rows.is_contiguous():
        return (matrix @ rows).view(1, -1, *size)
    return (rows.T @ matrix).view(1, *size, -1).permute(0, 3, 1, 2)


# Differences of images and activations


def weighted_squared_difference(x: Tensor, target: Tensor, weight_map: Tensor) -> Tensor:
    """Mean of the squared difference times a weight map, a scalar.

    The backward pass needs the weighted difference alone, where autograd keeps four tensors of this
    size. In half precision the sum over channels is rounded at each position; over all positions
    these errors average out.

    Args:
        x, target: (1, C, H, W).
        weight_map: (1, 1, H, W).
    """
    loss: Tensor = _WeightedSquaredDifference.apply(x, target, weight_map)
    return loss


def weighted_squared_difference_reference(x: Tensor, target: Tensor, weight_map: Tensor) -> Tensor:
    """``weighted_squared_difference`` in plain PyTorch."""
    return ((x - target).square() * weight_map).mean()


class _WeightedSquaredDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, weight_map: Tensor) -> Tensor:
        difference = x - target
        weighted = difference * weight_map
        ctx.save_for_backward(weighted)
        if x.dtype in (torch.float32, torch.float64):
            return torch.dot(_elements(difference), _elements(weighted)) / x.numel()
        # float16 ends at 65504, which squares may exceed; bfloat16 does not overflow.
        factor = difference.float() if x.dtype == torch.float16 else difference
        return (factor * weighted).sum(1).float().mean() / x.shape[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weighted,) = ctx.saved_tensors
        return weighted * (gradients[0] * (2 / weighted.numel())), None, None


def _elements(maps: Tensor) -> Tensor:
    """All elements of (1, C, H, W) in the order of the memory, which needs no copy."""
    return (maps if maps.is_contiguous() else maps.permute(0, 2, 3, 1)).flatten()


def squared_total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels (Mahendran & Vedaldi 2015, beta = 2).

    The forward pass already adds up the gradient, where autograd would copy the whole image four
    times.

    Args:
        image: (1, C, H, W), sides of at least 2 px.
    """
    variation: Tensor = _SquaredTotalVariation.apply(image)
    return variation


def squared_total_variation_reference(image: Tensor) -> Tensor:
    """``squared_total_variation`` in plain PyTorch."""
    return image.diff(dim=3).square().mean() + image.diff(dim=2).square().mean()


class _SquaredTotalVariation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        across, down = image.diff(dim=3), image.diff(dim=2)
        ctx.count, ratio = across.numel(), across.numel() / down.numel()
        ctx.save_for_backward(_diff_transpose(across, down, ratio))
        across, down = across.flatten(), down.flatten()
        variation: Tensor = (torch.dot(across, across) + ratio * torch.dot(down, down)) / ctx.count
        return variation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (transposed,) = ctx.saved_tensors
        gradient: Tensor = transposed * (gradients[0] * (2 / ctx.count))
        return gradient


def _empty_image(across: Tensor, down: Tensor, ratio: float) -> Tensor:
    return across.new_empty(down.shape[:2] + across.shape[2:3] + down.shape[3:])


@custom_op(_empty_image)
def _diff_transpose(across: Tensor, down: Tensor, ratio: float) -> Tensor:
    """The transposed difference operators of both: D_x^T across + ratio D_y^T down."""
    gradient = F.pad(across, (1, 0))
    gradient[..., :-1] -= across
    gradient[..., 1:, :].add_(down, alpha=ratio)
    gradient[..., :-1, :].sub_(down, alpha=ratio)
    return gradient


# Patches


def patch_means(*activations: Tensor) -> Tensor:
    """Concatenate activations along channels and average 2 x 2 windows with stride 1.

    The result has the channels of one patch next to each other in memory. The backward pass returns
    each gradient in the memory format of its input, unlike autograd: later operations on these
    gradients are faster in it.

    Args:
        activations: (1, C, H, W) of each layer, all of one size.

    Returns:
        ((H - 1) (W - 1), sum of C), in the dtype of the first layer.
    """
    means: Tensor = _PatchMeans.apply(*activations)
    return means


def patch_means_reference(*activations: Tensor) -> Tensor:
    """``patch_means`` in plain PyTorch."""
    return F.avg_pool2d(torch.cat(activations, 1), 2, 1)[0].flatten(1).T


class _PatchMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *activations: Tensor) -> Tensor:
        ctx.inputs = [(x.shape[1], x.dtype, _memory_format(x)) for x in activations]
        ctx.grid = activations[0].shape[-2:]
        dtype = activations[0].dtype
        joined = [x.to(dtype, memory_format=torch.channels_last) for x in activations]
        return _mean_2x2(torch.cat(joined, 1)).permute(0, 2, 3, 1).flatten(0, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        height, width = ctx.grid
        maps = gradients[0].view(1, height - 1, width - 1, -1).permute(0, 3, 1, 2)
        counts = [count for count, *_ in ctx.inputs]
        parts = torch.split(_mean_2x2(F.pad(maps, [1] * 4)), counts, 1)
        return tuple(
            part.to(dtype).contiguous(memory_format=memory_format)
            for part, (_, dtype, memory_format) in zip(parts, ctx.inputs, strict=True)
        )


def _memory_format(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


def _mean_2x2(maps: Tensor) -> Tensor:
    """Average of 2 x 2 windows with stride 1; ``F.avg_pool2d`` takes longer."""
    pairs = maps[..., 1:, :] + maps[..., :-1, :]
    return (pairs[..., 1:] + pairs[..., :-1]) / 4


def patch_cosines(descriptors: Tensor, units: Tensor, mean: Tensor, gain: Tensor) -> Tensor:
    """Cosine of each descriptor, centred and scaled, with a unit vector.

    The backward pass uses norms and cosines of the forward pass. Half precision rounds each cosine;
    over all rows these errors average out.

    Args:
        descriptors: (N, C).
        units: (N, C), rows of unit length.
        mean, gain: (C,), subtracted from a descriptor, and multiplied with the difference.

    Returns:
        (N,), at least float32.
    """
    cosines: Tensor = _PatchCosines.apply(descriptors, units, mean, gain)
    return cosines


def patch_cosines_reference(
    descriptors: Tensor, units: Tensor, mean: Tensor, gain: Tensor
) -> Tensor:
    """``patch_cosines`` in plain PyTorch."""
    return F.cosine_similarity((descriptors - mean) * gain, units, dim=1)


class _PatchCosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, descriptors: Tensor, units: Tensor, mean: Tensor, gain: Tensor) -> Tensor:
        gain = gain.to(descriptors.dtype)
        scaled = (descriptors - mean.to(descriptors.dtype)).mul_(gain)
        norms = _at_least_float32(torch.linalg.vector_norm(scaled, dim=1))
        inverse = norms.clamp_min(EPSILON).reciprocal()
        # A sum with another dtype for its result takes four times as long.
        cosines: Tensor = _at_least_float32((scaled * units).sum(1)) * inverse
        ctx.save_for_backward(scaled, units, gain, inverse, cosines)
        return cosines

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        scaled, units, gain, inverse, cosines = ctx.saved_tensors
        of_units = gradients[0] * inverse
        of_scaled = -of_units * cosines * inverse
        toward, along = (factor.to(gain.dtype)[:, None] for factor in (of_units, of_scaled))
        return (units * toward).addcmul_(scaled, along).mul_(gain), None, None, None
