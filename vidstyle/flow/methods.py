"""Optical flow methods: Dense Inverse Search and RAFT."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FeaturesError, SettingValueError
from ..features.pretrained import last_line, raft_weights, read_state_dict
from ..io.frame import Image

FLOW_PX = 512
"""Flow is computed on frames no longer than this: enough for half a pixel of any painting, and the cost is bounded."""


LEAST_PX = 16
"""DIS refuses sides below 12 px; narrower frames are stretched."""


RAFT_LEAST_PX = 128
"""RAFT's correlation pyramid needs at least this on either side (Teed & Deng 2020: four levels at an eighth of the size)."""


FlowMethod = Callable[[Image, Image], NDArray[np.float32]]
"""``method(frame, previous)`` of (H, W, 3) uint8 each -> (H, W, 2) float32: where each pixel of ``frame`` was, as (dx, dy) px.

It is called from several threads at once."""


def dis_flow(frame: Image, earlier: Image) -> NDArray[np.float32]:
    """Dense Inverse Search (Kroeger et al. 2016) through OpenCV. A ``FlowMethod``."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0 if max(frame.shape) <= FLOW_PX // 2 else 1)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame, earlier)]
    return np.asarray(method.calc(*greys, None), np.float32)  # type: ignore[call-overload]


class Raft:
    """RAFT (Teed & Deng 2020), torchvision's ``raft_large``. A ``FlowMethod``.

    Args:
        weights: torchvision's state dict.
        device: where it runs.

    Raises:
        RuntimeError: weights of something else.
    """

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        from torchvision.models.optical_flow import raft_large

        self._network = raft_large()
        self._network.load_state_dict(dict(weights))
        self._network.requires_grad_(False).eval().to(device)
        self._device, self._alone = device, Lock()

    def __call__(self, frame: Image, earlier: Image) -> NDArray[np.float32]:
        """Flow of (H, W, 3) uint8 pictures of one size -> (H, W, 2) float32 px."""
        height, width = frame.shape[:2]
        below, right = (
            max(side, RAFT_LEAST_PX) + 7 & ~7 for side in (height, width)
        )  # multiples of eight
        pair = [
            F.pad(
                torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1,
                pads,
                "replicate",
            )
            for image, pads in (
                (image, (0, right - width, 0, below - height)) for image in (frame, earlier)
            )
        ]
        with self._alone, torch.no_grad():  # while it runs it keeps correlations in itself
            flow = self._network(*pair)[-1][0, :, :height, :width]
        found: NDArray[np.float32] = flow.permute(1, 2, 0).cpu().numpy()
        return found


def load_flow(
    name: str, device: torch.device, weights: str | Path | None = None
) -> FlowMethod | None:
    """How motion is computed, ready to use; None for ``none``.

    Args:
        name: ``none``, ``dis`` or ``raft``.
        device: where RAFT runs; DIS runs on the CPU.
        weights: torchvision's own state dict of ``raft_large``, where it cannot be downloaded.

    Raises:
        FeaturesError: RAFT's weights are missing, damaged or of another kind, or cannot be downloaded.
        ValueError: another name, or weights given for a method without.
    """
    if weights is not None and name != "raft":
        raise SettingValueError("flow weights are for raft: add flow='raft'", "flow")
    if name == "raft":
        origin = weights or "torchvision's RAFT"
        state = raft_weights() if weights is None else read_state_dict(Path(weights), "raft_large")
        try:
            return Raft(state, device)
        except RuntimeError as error:
            raise FeaturesError(
                f"{origin} does not fit ({last_line(error)}): give torchvision's raft_large"
            ) from None
    if name not in ("none", "dis"):
        raise ValueError(f"unknown flow {name!r}: use none, dis or raft")
    return dis_flow if name == "dis" else None
