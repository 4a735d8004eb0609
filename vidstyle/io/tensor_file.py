"""Tensors in safetensors files, written atomically and verified by SHA-256."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InputError, OutputError
from .files import check_readable, write_file

CHECKSUM = "sha256"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors atomically, with their SHA-256 in the metadata.

    Raises:
        OutputError: the file cannot be written; the old file is unchanged.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # save_file would make the file private to its owner
        write_file(path, save(tensors, {**metadata, CHECKSUM: _checksum(tensors)}))
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"cannot write {path}: {error}: free some space or choose another place"
        ) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Data only: nothing in it is executed.

    A file that carries no checksum, of other makers, is read as it is.

    Raises:
        InputError: not such a file, cut short, or changed since it was written.
    """
    try:
        with safe_open(check_readable(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors ({str(error).splitlines()[0]}): get it again"
        ) from None
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(tensors):
        raise InputError(
            f"{path} is damaged (its SHA-256 is not the one it was written with): get it again"
        )
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
