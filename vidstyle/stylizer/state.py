"""The state of a stylizer after a frame: all that the next frame starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..ops.pytree import register_dataclass
from ..ops.tensors import resize
from ..optim.adam import AdamState


@register_dataclass
@dataclass(frozen=True, eq=False)
class StylizerState:
    """The state after a frame.

    Args:
        image: (1, 3, H, W), the stylised frame at its working size.
        adam: of the optimiser.
        content: (1, 3, H, W), the frame itself, denoised.
        residual_flow: (1, 2, H, W) px, the flow since each pixel was last warped: too short to warp
            by.
        camera_translation: (2,) px, the sum of the median flows since the shot began; (dx, dy) to
            the earlier frame.
        loss: the total before the frame's last step.
        loss_decrease: relative decrease of the total per step.
        full_lr_steps: steps still to be taken at the full learning rate.
        restyle_steps: steps still to be taken towards another style, with larger coarse and
            chromatic steps.
        earlier: stylised frames before this one, the latest first, as many as long-term consistency
            looks at.
    """

    image: Tensor
    adam: AdamState
    content: Tensor
    residual_flow: Tensor
    camera_translation: Tensor
    loss: float = 0.0
    loss_decrease: float = 1.0
    full_lr_steps: int = 0
    restyle_steps: int = 0
    earlier: tuple[Tensor, ...] = ()

    @classmethod
    def initial(
        cls,
        image: Tensor,
        adam: AdamState,
        content: Tensor,
        loss: float = 0.0,
        full_lr_steps: int = 0,
    ) -> "StylizerState":
        """The state after the first frame of a shot."""
        still = torch.zeros_like(image[:, :2])
        translation = image.new_zeros(2)
        return cls(image, adam, content, still, translation, loss, full_lr_steps=full_lr_steps)

    def resized(self, content: Tensor) -> "StylizerState":
        """The state in the size of ``content``; the Adam state of another size is zero."""
        if self.image.shape == content.shape:
            return self
        image = resize(self.image, (content.shape[-1], content.shape[-2]))
        return StylizerState.initial(image, AdamState.zero(image), content)

    def without_numbers(self) -> "StylizerState":
        """The tensors alone: numbers belong to the signature of a recorded function."""
        return replace(self, loss=0.0, loss_decrease=0.0, full_lr_steps=0, restyle_steps=0)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors on the CPU by name; ``from_state_dict`` reads them."""
        return {name: tensor.to("cpu", copy=True) for name, tensor in self._named().items()}

    def _named(self) -> dict[str, Tensor]:
        names = ("image", "content", "residual_flow", "camera_translation")
        named: dict[str, Tensor] = {name: getattr(self, name) for name in names}
        named["exp_avg"] = self.adam.exp_avg
        named |= {f"exp_avg_sq{i}": x for i, x in enumerate(self.adam.exp_avg_sq)}
        named |= {f"bias_correction{i}": x for i, x in enumerate(self.adam.bias_correction)}
        named |= {f"earlier{i}": image for i, image in enumerate(self.earlier)}
        numbers = self.loss, self.loss_decrease, self.full_lr_steps, self.restyle_steps
        return named | {"numbers": torch.tensor(numbers, dtype=torch.float64)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], device: torch.device) -> "StylizerState":
        """The state that ``state_dict`` was called on.

        Raises:
            ValueError: tensors missing, or of shapes that do not belong together.
        """

        def one(name: str) -> Tensor:
            return state[name].to(device, copy=True)

        def several(name: str) -> tuple[Tensor, ...]:
            keys = [f"{name}{i}" for i in range(len(state)) if f"{name}{i}" in state]
            return tuple(one(key) for key in keys)

        try:
            adam = AdamState(one("exp_avg"), several("exp_avg_sq"), several("bias_correction"))
            loss, loss_decrease, full_lr_steps, restyle_steps = state["numbers"].tolist()
            loaded = cls(
                one("image"),
                adam,
                one("content"),
                one("residual_flow"),
                one("camera_translation"),
                loss,
                loss_decrease,
                int(full_lr_steps),
                int(restyle_steps),
                several("earlier"),
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
        blank = replace(blank, earlier=(self.image,) * len(self.earlier))
        expected = {name: tensor.shape for name, tensor in blank._named().items()}
        return {name: tensor.shape for name, tensor in self._named().items()} == expected
