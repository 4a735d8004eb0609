"""Optical flow methods: DIS (Kroeger et al. 2016), with and without matching, and RAFT (Teed & Deng
2020)."""

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
from .matching import MatchedFlow

MIN_RAFT_SIDE_PX = 128
"""Smallest side for RAFT, whose correlation pyramid has four levels at an eighth of the size."""

DIS_DESCENTS, DIS_REFINEMENTS = 12, 10
"""Number of iterations of gradient descent and of variational refinement on each pyramid level of
DIS. More descents follow noise: at rest, flow then varies from frame to frame."""

FlowMethod = Callable[[Image, Image], NDArray[np.float32]]
"""``method(frame, earlier)`` computes optical flow, and may be called from several threads at once.

Both frames are (H, W, 3) uint8 RGB of one size. The flow is (H, W, 2) float32: the displacement of
each pixel of ``frame`` to its position in ``earlier``, (dx, dy) in px.
"""


def dis_flow(frame: Image, earlier: Image) -> NDArray[np.float32]:
    """Dense Inverse Search (Kroeger et al. 2016) from OpenCV, at full resolution: a ``FlowMethod``.

    The medium preset stops at half of the resolution, where its error is half as large again.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    method.setGradientDescentIterations(DIS_DESCENTS)
    method.setVariationalRefinementIterations(DIS_REFINEMENTS)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frame, earlier)]
    return np.asarray(method.calc(*greys, None), np.float32)  # type: ignore[call-overload]


class Raft:
    """RAFT (Teed & Deng 2020) from torchvision, ``raft_large``: a ``FlowMethod``.

    Args:
        weights: torchvision's state dict.
        device: of the network.

    Raises:
        RuntimeError: the weights are of another network.
    """

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        from torchvision.models.optical_flow import raft_large

        self._network = raft_large()
        self._network.load_state_dict(dict(weights))
        self._network.requires_grad_(False).eval().to(device)
        self._device, self._lock = device, Lock()

    def __call__(self, frame: Image, earlier: Image) -> NDArray[np.float32]:
        """Flow from ``frame`` to ``earlier``, see ``FlowMethod``."""
        height, width = frame.shape[:2]
        # RAFT needs multiples of eight.
        bottom, right = ((max(side, MIN_RAFT_SIDE_PX) + 7 & ~7) - side for side in (height, width))
        pair = [
            F.pad(self._to_input(image), (0, right, 0, bottom), "replicate")
            for image in (frame, earlier)
        ]
        with self._lock, torch.no_grad():  # the network stores correlations in itself
            flow = self._network(*pair)[-1][0, :, :height, :width]
        array: NDArray[np.float32] = flow.permute(1, 2, 0).cpu().numpy()
        return array

    def _to_input(self, image: Image) -> Tensor:
        """(1, 3, H, W) float32 in [-1, 1]."""
        return torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1


def load_flow(
    name: str, device: torch.device, weights: str | Path | None = None
) -> FlowMethod | None:
    """Load an optical flow method.

    Args:
        name: ``none``, ``dis``, ``match`` or ``raft``.
        device: of RAFT; the others run on the CPU.
        weights: for ``raft`` without a download: torchvision's state dict of ``raft_large``.

    Returns:
        None for ``none``.

    Raises:
        FeaturesError: RAFT's weights are missing, damaged, of another network, or cannot be
            downloaded.
        ValueError: an unknown name, or weights with another method than ``raft``.
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
    methods: dict[str, FlowMethod | None] = {
        "none": None,
        "dis": dis_flow,
        "match": MatchedFlow(dis_flow),
    }
    if name not in methods:
        raise ValueError(f"unknown flow {name!r}: use none, dis, match or raft")
    return methods[name]
