"""The device of the arithmetic: its choice, its precision, and errors for lack of memory."""

import ctypes
import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from ..errors import DeviceError, DeviceMemoryError
from .limits import free_cgroup_memory, threads


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cpu``, ``cuda``,
    ``cuda:N`` or ``mps``.

    Raises:
        ValueError: no such name.
        DeviceError: this machine has no such device.
    """
    limit_threads()
    disable_unsupported_nnpack()
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} is not available: {torch.cuda.device_count()} CUDA devices were found; "
            "use device='cpu'",
            "device",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("MPS is not available on this machine: use device='cpu'", "device")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that ``auto``, ``fp32``, ``bf16`` or ``fp16`` means on a device; ``auto``: bf16
    where its hardware has it.

    Raises:
        DeviceError: fp16 on a CPU, which would be slower than fp32.
    """
    if name == "fp16" and device.type == "cpu":
        raise DeviceError(
            "fp16 is slower than fp32 on a CPU: use precision='bf16' or precision='auto'",
            "precision",
        )
    if name == "auto":
        name = "bf16" if _quick_at_bf16(device) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _quick_at_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    has: dict[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # newer than the oldest PyTorch we run on
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def limit_threads() -> None:
    """Let PyTorch use no more threads than this process may keep busy; it does not look at cgroup
    quotas itself."""
    if torch.get_num_threads() > threads():
        torch.set_num_threads(threads())


@contextmanager
def one_core_left(device: torch.device) -> Iterator[None]:
    """Leave one core to other threads of this program while PyTorch computes on the CPU.

    The threads of an operation wait for each other: beside a camera and a display, two threads on
    two cores take longer than one.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def disable_unsupported_nnpack() -> None:
    """Turn NNPACK off on CPUs without AVX2, where PyTorch would warn at every convolution."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]


def free_memory(device: torch.device) -> int | None:
    """Bytes free on the device, None where the system does not say. On a CPU a cgroup's memory
    limit counts."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(
            device
        )  # PyTorch's own, free to reuse
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    free = [count for count in (_free_system_memory(), free_cgroup_memory()) if count is not None]
    return min(free, default=None)


def _free_system_memory() -> int | None:
    try:
        table = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        pages = "SC_AVPHYS_PAGES"
        return (
            os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
            if pages in getattr(os, "sysconf_names", ())
            else None
        )


MMAP_THRESHOLD_BYTES = 2**26
"""Bytes of the largest block of memory that is kept. At 1280 x 720 the peak hardly rises by it; by
twice as much, 15 %."""

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""In glibc's malloc.h."""


@cache
def keep_freed_memory() -> None:
    """Keep in this process what is freed in each step and needed in the next.

    glibc would give large blocks back to the system, which clears each of their pages again: 7 % of
    a step at 1280 x 720.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD_BYTES)  # as glibc has it


def resident_memory(device: torch.device) -> int | None:
    """Bytes in use now: on a CUDA device what PyTorch holds there, else of this process; None where
    the system does not say."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _process_memory("VmRSS")


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use at once since ``reset_peak_memory``."""
    return (
        torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else _process_memory("VmHWM")
    )


def reset_peak_memory(device: torch.device) -> bool:
    """Return freed memory to the system and reset the peak counter.

    Returns:
        Whether the system supports it.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _process_memory(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return int(found.split()[1]) * 1024 if found else None


@contextmanager
def out_of_memory_named(remedy: str) -> Iterator[None]:
    """Turn every way of running out of memory into a ``DeviceError`` that ends with ``remedy``."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise DeviceMemoryError(f"out of memory: {remedy}", "working_size", "size") from None
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "out of memory" in str(error):
            raise DeviceMemoryError(f"out of memory: {remedy}", "working_size", "size") from None
        raise


def open_files() -> int | None:
    """Number of open files of this process; None where the system does not give it."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else None
