"""The state of a stylizer after a frame: all that the next frame starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..ops.pytree import register_dataclass
from ..ops.tensors import resize
from ..optim.adam import AdamState
from .background import Background
from .layer import Layer, masked_adam

BACKGROUND = "background_"
"""Prefix of the names of the plate's tensors in a state dict."""

LAYER_TENSORS = "image", "content", "residual_flow", "reference"
"""Fields of a layer that are tensors."""

MOMENT_RETENTION = 0.1
"""Fraction of the Adam state's weight that is kept for another style: ten steps of hundreds."""


SAME_SHAPE = 0.05
"""Relative difference of two aspect ratios up to which they count as one: small working sizes have
rounded sides."""


@register_dataclass
@dataclass(frozen=True, eq=False)
class StylizerState:
    """The state after a frame.

    Args:
        frame: the stylised frame.
        background: what is behind the objects of the frame.
        loss: the total before the frame's last step.
        loss_decrease: relative decrease of the total per step.
        full_lr_steps: steps still to be taken at the full learning rate.
        restyle_steps: steps still to be taken towards another style, with larger coarse and
            chromatic steps.
        drawing: number of the drawing whose strokes the frame has, see ``boil``.
    """

    frame: Layer
    background: Background
    loss: float = 0.0
    loss_decrease: float = 1.0
    full_lr_steps: int = 0
    restyle_steps: int = 0
    drawing: int = 0

    @classmethod
    def initial(
        cls,
        image: Tensor,
        adam: AdamState,
        content: Tensor,
        loss: float = 0.0,
        full_lr_steps: int = 0,
        drawing: int = 0,
    ) -> "StylizerState":
        """The state after the first frame of a shot."""
        frame, counts = Layer.at_rest(image, content, adam), (full_lr_steps, 0, drawing)
        return cls(frame, Background.initial(frame), loss, 1.0, *counts)

    @property
    def image(self) -> Tensor:
        """The stylised frame, (1, 3, H, W)."""
        return self.frame.image

    def fits(self, content: Tensor) -> bool:
        """Whether the state has the aspect ratio of ``content``: a phone may have been rotated."""
        (height, width), (new_height, new_width) = self.image.shape[-2:], content.shape[-2:]
        return abs(width * new_height / (height * new_width) - 1) <= SAME_SHAPE

    def resized(self, content: Tensor) -> "StylizerState":
        """The state in the size of ``content``; the Adam state of another size is zero."""
        if self.image.shape == content.shape:
            return self
        image = resize(self.image, (content.shape[-1], content.shape[-2]))
        zero = AdamState.zero(image)
        return StylizerState.initial(image, zero, content, drawing=self.drawing)

    def for_another_style(self, steps: int, where: Tensor | None = None) -> "StylizerState":
        """The state for steps at the full learning rate towards another style.

        Args:
            steps: their number.
            where: (1, 1, H, W) in [0, 1] of any size, where the style changes; None: everywhere.
                Elsewhere the learning rate of settled pixels stays low, and coarse and chromatic
                steps, which are those of the whole frame, stay small.
        """
        if where is not None:
            where = resize(where, (self.image.shape[-1], self.image.shape[-2]))

        def restored(adam: AdamState) -> AdamState:
            if where is None:
                return adam.with_decayed_weight(MOMENT_RETENTION)
            kept = masked_adam(adam, 1 - (1 - MOMENT_RETENTION) * where)
            return replace(kept, exp_avg=adam.exp_avg * (1 - where))

        frame, plate = (
            replace(layer, adam=restored(layer.adam))
            for layer in (self.frame, self.background.layer)
        )
        background = replace(self.background, layer=plate)
        restyle_steps = steps if where is None else self.restyle_steps
        return StylizerState(frame, background, self.loss, 1.0, steps, restyle_steps, self.drawing)

    def without_numbers(self) -> "StylizerState":
        """The tensors alone: numbers belong to the signature of a recorded function."""
        return StylizerState(self.frame, self.background, loss_decrease=0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors on the CPU by name; ``from_state_dict`` reads them."""
        return {name: tensor.to("cpu", copy=True) for name, tensor in self._named().items()}

    def _named(self) -> dict[str, Tensor]:
        named = _named_tensors(self.frame, "")
        named |= _named_tensors(self.background.layer, BACKGROUND)
        named["background_known"] = self.background.known
        named["background_shown"] = self.background.shown
        numbers = self.loss, self.loss_decrease, self.full_lr_steps, self.restyle_steps
        every = *numbers, self.drawing
        return named | {"numbers": torch.tensor(every, dtype=torch.float64)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], device: torch.device) -> "StylizerState":
        """The state that ``state_dict`` was called on.

        Raises:
            ValueError: tensors missing, or of shapes that do not belong together.
        """
        tensors = {name: tensor.to(device, copy=True) for name, tensor in state.items()}
        try:
            loss, loss_decrease, *counts = state["numbers"].tolist()
            masks = tensors["background_known"], tensors["background_shown"]
            loaded = cls(
                _layer(tensors, ""),
                Background(_layer(tensors, BACKGROUND), *masks),
                loss,
                loss_decrease,
                *map(int, counts),
            )
        except KeyError as error:
            raise ValueError(
                f"the state lacks {error}: it was not made by this version's Stylizer.state()"
            ) from None
        if loaded.image.ndim != 4 or loaded.image.shape[:2] != (1, 3) or not loaded._consistent():
            raise ValueError("the state's tensors have shapes that do not belong together")
        return loaded

    def _consistent(self) -> bool:
        """Whether all shapes are those of a state of an image of this size."""
        blank = StylizerState.initial(self.image, AdamState.zero(self.image), self.image)
        expected = {name: tensor.shape for name, tensor in blank._named().items()}
        return {name: tensor.shape for name, tensor in self._named().items()} == expected


def _named_tensors(layer: Layer, prefix: str) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {name: getattr(layer, name) for name in LAYER_TENSORS}
    named["exp_avg"] = layer.adam.exp_avg
    named |= {f"exp_avg_sq{i}": x for i, x in enumerate(layer.adam.exp_avg_sq)}
    named |= {f"bias_correction{i}": x for i, x in enumerate(layer.adam.bias_correction)}
    return {prefix + name: tensor for name, tensor in named.items()}


def _layer(tensors: Mapping[str, Tensor], prefix: str) -> Layer:
    """The layer whose ``_named_tensors`` are among the tensors."""
    parts = {name: tensors[prefix + name] for name in LAYER_TENSORS}
    squares, corrections = (
        _several(tensors, prefix + name) for name in ("exp_avg_sq", "bias_correction")
    )
    adam = AdamState(tensors[prefix + "exp_avg"], squares, corrections)
    return Layer(adam=adam, **parts)


def _several(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    """The tensors ``name0``, ``name1`` and so on."""
    keys = [f"{name}{i}" for i in range(len(tensors)) if f"{name}{i}" in tensors]
    return tuple(tensors[key] for key in keys)
