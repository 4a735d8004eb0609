"""Hand-written autograd functions of the losses agree with their plain references."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from vidstyle.autograd import losses

CPU_DTYPES = (torch.float64, torch.float32)


def rand(*shape, seed=0, dtype=torch.float64, memory_format=torch.contiguous_format):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.to(dtype).contiguous(memory_format=memory_format) if x.ndim == 4 else x.to(dtype)


def symmetric_matrices(seed, dtype):
    matrices = [rand(count, count, seed=seed, dtype=dtype) for count in (3, 5)]
    return losses.flatten_matrices(matrix + matrix.T for matrix in matrices)


def gram_case(dtype):
    target, weights = symmetric_matrices(1, dtype), symmetric_matrices(2, dtype)
    maps = rand(1, 3, 4, 5, dtype=dtype), rand(1, 5, 6, 3, seed=3, dtype=dtype)
    maps = maps[0], maps[1].contiguous(memory_format=torch.channels_last)
    return lambda f: lambda *x: f(target, weights, *x), maps


def difference_case(dtype):
    target, weights = rand(1, 3, 5, 4, seed=1, dtype=dtype), rand(1, 1, 5, 4, seed=2, dtype=dtype)
    return lambda f: lambda x: f(x, target, weights), (rand(1, 3, 5, 4, dtype=dtype),)


def variation_case(dtype):
    return lambda f: f, (rand(1, 3, 5, 7, dtype=dtype),)


def smallest_variation_case(dtype):
    return lambda f: f, (rand(1, 3, 2, 3, dtype=dtype),)


def means_case(dtype):
    maps = rand(1, 2, 5, 6, dtype=dtype), rand(1, 3, 5, 6, seed=1, dtype=dtype)
    return lambda f: f, (maps[0], maps[1].contiguous(memory_format=torch.channels_last))


def cosines_case(dtype):
    units = F.normalize(rand(6, 4, seed=1, dtype=dtype))
    mean, gain = rand(4, seed=2, dtype=dtype), 1 + rand(4, seed=3, dtype=dtype)
    return lambda f: lambda x: f(x, units, mean, gain), (rand(6, 4, dtype=dtype),)


CASES = [
    pytest.param("gram_loss", gram_case, id="gram_loss"),
    pytest.param("weighted_squared_difference", difference_case, id="weighted_squared_difference"),
    pytest.param("squared_total_variation", variation_case, id="squared_total_variation"),
    pytest.param("squared_total_variation", smallest_variation_case, id="smallest_image"),
    pytest.param("patch_means", means_case, id="patch_means"),
    pytest.param("patch_cosines", cosines_case, id="patch_cosines"),
]


@pytest.mark.parametrize("dtype", CPU_DTYPES)
@pytest.mark.parametrize(("name", "case"), CASES)
def test_autograd_function_agrees_with_its_reference(name, case, dtype):
    with_constants, inputs = case(dtype)
    results = []
    for function in (getattr(losses, name), getattr(losses, f"{name}_reference")):
        leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
        value = with_constants(function)(*leaves)
        outer = rand(*value.shape, seed=9, dtype=dtype)
        results.append([value, *torch.autograd.grad(value, leaves, outer)])
    # Sums in another order: 1e-5 in float32, 1e-12 in float64.
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_autograd_function_has_the_gradient_of_finite_differences(name, case):
    with_constants, inputs = case(torch.float64)
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    assert torch.autograd.gradcheck(with_constants(getattr(losses, name)), leaves)


def test_patch_means_gradients_have_the_memory_format_of_their_inputs():
    _, inputs = means_case(torch.float32)
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    gradients = torch.autograd.grad(losses.patch_means(*leaves).square().sum(), leaves)
    assert gradients[0].is_contiguous()
    assert gradients[1].is_contiguous(memory_format=torch.channels_last)


GRAM_OF_3_MIB = """
import torch
from vidstyle.autograd.losses import gram_of_rows
torch.set_num_threads(1)
rows = torch.rand(32, 49152).bfloat16()
made, expected = gram_of_rows(rows, 1.0), rows.float() @ rows.float().T / 49152
assert (made - expected).abs().max() < 0.01
"""


def test_gram_of_rows_of_3_mib_does_not_end_the_process():
    command = [sys.executable, "-c", GRAM_OF_3_MIB]  # of its own: a failure is a signal
    assert subprocess.run(command, check=False).returncode == 0
