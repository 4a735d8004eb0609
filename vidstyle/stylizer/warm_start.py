"""How a frame starts from the ones before: what is remembered, moved along the motion, and steadied against noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..flow.motion import Motion
from ..flow.warp import resize_flow, warp, warp_sharp
from ..ops.tensors import reflect_crop, resize
from ..optim.optimizers import AdamState

MIN_MOTION_PX = 0.2
"""What moved by less than this since it was last moved stays where it is: so small a flow may be noise."""

NEW_SHARE, CHANGE, PROGRESS = 0.05, 0.02, 0.01
"""When a frame deserves all its steps: this share of it is new, its content changed by this root mean square (of 1), or
each of the last frame's steps lowered the loss by this share of it."""

COLOR_RIDGE = 1e-3
"""How much the colours of a newly seen area lean to the source's, against the mean square of what is known, in [0, 1]."""

STROKE_GAIN = 0.5
"""How much of the style's own strokes a newly seen area begins with. A frame's few steps leave it bare else, and what moves fast
is new all over, frame after frame. With all of them it flickers until they have found their places."""

TRAVEL_EVERY_PX = 8
"""Distance of the places whose median motion is taken for the picture's as a whole."""

LONG_TERM = (2, 4)
"""How many frames back further paintings are looked at where the last one is of no use (Ruder et al. 2016, section 4.2)."""

PATCH_PX = 9
"""Side of the squares over which change of the content is told from noise: one more than a power of two."""

NOISE_FLOOR, NOISE_CEILING = 0.5 / 255, 6 / 255
"""Standard deviations between which the noise of a source is looked for: rounding, and a webcam in a dark room."""

DENOISE_MIN_GAIN = 0.1
"""Share of the present in a content that does not change but for noise: an average over some 20 frames."""


@dataclass(frozen=True, eq=False)
class StylizerState:
    """What is known after a frame.

    Args:
        picture: (1, 3, H, W), the painting.
        moments: the optimiser's.
        content: (1, 3, H, W), the frame as it was aimed at: steadied.
        offset: (1, 2, H, W) px, how far away from its place each thing is painted: motion too small to follow so far.
        travel: (2,) px, how far most of the picture has gone since the shot began, the other way round like all flow.
        loss: the one the frame's last step started from.
        progress: share of the loss that each of the frame's steps took away.
        loose: steps still to be taken before the painting begins to settle.
        changing: steps during which it is still becoming one of another style.
        earlier: paintings of the frames before, the last one first, as many as long-term consistency asks for.
    """

    picture: Tensor
    moments: AdamState
    content: Tensor
    offset: Tensor
    travel: Tensor
    loss: float = 0.0
    progress: float = 1.0
    loose: int = 0
    changing: int = 0
    earlier: tuple[Tensor, ...] = ()

    @classmethod
    def of(
        cls, picture: Tensor, moments: AdamState, content: Tensor, loss: float = 0.0, loose: int = 0
    ) -> "StylizerState":
        """What is known after the first frame of a shot."""
        return cls(
            picture,
            moments,
            content,
            torch.zeros_like(picture[:, :2]),
            picture.new_zeros(2),
            loss,
            loose=loose,
        )

    def resized(self, content: Tensor) -> "StylizerState":
        """The memory in the size of ``content``; the optimiser's does not survive a change of size."""
        if self.picture.shape == content.shape:
            return self
        picture = resize(self.picture, (content.shape[-1], content.shape[-2]))
        return StylizerState.of(picture, AdamState.zero(picture), content)

    def state(self) -> dict[str, Tensor]:
        """As plain tensors on the CPU."""
        return {name: tensor.to("cpu", copy=True) for name, tensor in self.named().items()}

    def named(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        named = {
            "picture": self.picture,
            "content": self.content,
            "offset": self.offset,
            "travel": self.travel,
        }
        named |= {"opponent.mean": self.moments.mean}
        named |= {f"opponent.square{i}": square for i, square in enumerate(self.moments.squares)}
        named |= {f"opponent.weight{i}": weight for i, weight in enumerate(self.moments.weights)}
        named |= {f"earlier{i}": picture for i, picture in enumerate(self.earlier)}
        return named | {
            "trend": torch.tensor(
                [self.loss, self.progress, self.loose, self.changing], dtype=torch.float64
            )
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], device: torch.device) -> "StylizerState":
        """What ``state`` was made of.

        Raises:
            ValueError: tensors missing, or of shapes that do not belong together.
        """

        def several(name: str) -> tuple[Tensor, ...]:
            return tuple(
                state[f"{name}{i}"].to(device, copy=True)
                for i in range(len(state))
                if f"{name}{i}" in state
            )

        try:
            picture, content, offset, travel, mean = (
                state[name].to(device, copy=True)
                for name in ("picture", "content", "offset", "travel", "opponent.mean")
            )
            moments = AdamState(mean, several("opponent.square"), several("opponent.weight"))
            loss, progress, loose, changing = state["trend"].tolist()
            memory = cls(
                picture,
                moments,
                content,
                offset,
                travel,
                loss,
                progress,
                int(loose),
                int(changing),
                several("earlier"),
            )
        except KeyError as error:
            raise ValueError(
                f"the state lacks {error}: it was not made by this version's Stylizer.state()"
            ) from None
        if (
            picture.ndim != 4
            or picture.shape[:2] != (1, 3)
            or _shapes(memory) != _shapes(_like(memory))
        ):
            raise ValueError("the state's tensors have shapes that do not belong together")
        return memory


def _like(memory: StylizerState) -> StylizerState:
    """A blank memory for a painting of the same size."""
    blank = StylizerState.of(memory.picture, AdamState.zero(memory.picture), memory.picture)
    return replace(blank, earlier=(memory.picture,) * len(memory.earlier))


def _shapes(memory: StylizerState) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in memory.named().items()}


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Where a frame starts.

    Args:
        picture: (1, 3, H, W) to go on from: earlier paintings in their new place, the content where nothing is known.
        moments: the optimiser's, moved in the same way; none where the previous painting is of no use.
        content: (1, 3, H, W), the frame to aim at: steadied.
        offset, travel: as in ``StylizerState``.
        known: (1, 1, H, W), 1 where ``picture`` comes from an earlier painting, and should stay as it is.
        change: (2,), the share of the frame that the previous one does not show, and the root mean square of what changed in
            the content beyond its motion.
    """

    picture: Tensor
    moments: AdamState
    content: Tensor
    offset: Tensor
    travel: Tensor
    known: Tensor
    change: Tensor


def warm_start(memory: StylizerState, frame: Tensor, motion: Motion, strokes: Tensor) -> WarmStart:
    """Move all that is remembered to where it is now.

    Args:
        memory: of the frame before.
        frame: (1, 3, H, W), what is to be painted.
        motion: how the frames before became this one.
        strokes: (1, 3, H, W), those of the style: what is newly seen begins with the ones in its place.
    """
    memory = memory.resized(frame)
    known = _known(motion, frame)
    picture, content, moments = memory.picture, memory.content, memory.moments
    offset, travel = memory.offset, memory.travel
    if motion.flow is not None:
        flow = _flow(motion.flow, frame)
        offset = flow + warp(memory.offset, flow, "bilinear")
        travel = travel + _median(flow)
        moves = _moves(offset) & known
        both = torch.cat([picture, content], 1)
        both = torch.where(moves, warp_sharp(both, offset), both)
        picture, content = both[:, :3], both[:, 3:]
        moments = _moved(moments, torch.where(moves, offset, 0))
        offset = torch.where(moves | ~known, 0, offset)
    content = torch.where(known, content, frame)
    steadied = torch.where(known, denoise(content, frame), frame)
    change = torch.stack([1 - known.float().mean(), (steadied - content).square().mean().sqrt()])
    moments = _only(moments, known.to(frame))
    for distance, earlier in sorted(motion.earlier.items()):
        if distance - 2 < len(memory.earlier) and memory.earlier[distance - 2].shape == frame.shape:
            found = _known(earlier, frame) & ~known
            picture = torch.where(found, _shown(memory.earlier[distance - 2], earlier), picture)
            known = known | found
    # They go along: so what is uncovered strip by strip, by a thing or by the camera, begins with strokes that join.
    along = reflect_crop(strokes, frame.shape[-1], frame.shape[-2], *travel.round().long())
    newly_seen = _in_colours_of(picture, content, known, steadied) + STROKE_GAIN * along
    picture = torch.where(known, picture, newly_seen.clamp(0, 1))
    return WarmStart(picture, moments, steadied, offset, travel, known.to(frame), change)


def _median(flow: Tensor) -> Tensor:
    """(2,): of each component."""
    places = flow[0, :, ::TRAVEL_EVERY_PX, ::TRAVEL_EVERY_PX].flatten(1)
    return places.kthvalue((places.shape[1] + 1) // 2).values


def _in_colours_of(painting: Tensor, content: Tensor, known: Tensor, frame: Tensor) -> Tensor:
    """A frame in the colours of its painting: the affine map of colours that best leads from content to painting where known.

    What is newly seen would stick out for some frames in the colours of the source. (1, 3, H, W) like ``frame``.
    """
    count = known.sum() + 1
    colours = torch.cat([content, torch.ones_like(content[:, :1])], 1) * known
    colours, targets = colours.flatten(2)[0], (painting * known).flatten(2)[0]
    # A little of the identity on the diagonal keeps a map for one flat colour, or for nothing known at all, from being wild.
    unchanged = torch.eye(4, 3, device=frame.device, dtype=frame.dtype)
    products = colours @ colours.T / count + COLOR_RIDGE * torch.eye(
        4, device=frame.device, dtype=frame.dtype
    )
    mapping, _ = torch.linalg.solve_ex(
        products, colours @ targets.T / count + COLOR_RIDGE * unchanged
    )
    mapped: Tensor = torch.einsum("oc,bohw->bchw", mapping[:3], frame) + mapping[3].view(1, 3, 1, 1)
    return mapped.clamp(0, 1)


def _known(motion: Motion, frame: Tensor) -> Tensor:
    """(1, 1, H, W) bool, where the earlier frame shows what this one does."""
    if motion.reliable is None:
        return torch.ones_like(frame[:, :1], dtype=torch.bool)
    return (
        F.interpolate(
            motion.reliable.to(frame), frame.shape[-2:], mode="bilinear", align_corners=False
        )
        > 0.5
    )


def _flow(flow: Tensor, frame: Tensor) -> Tensor:
    return resize_flow(flow.to(frame), (frame.shape[-1], frame.shape[-2]))


def _moves(offset: Tensor) -> Tensor:
    return offset.square().sum(1, keepdim=True) >= MIN_MOTION_PX**2


def _shown(painting: Tensor, motion: Motion) -> Tensor:
    """An earlier painting in its new place."""
    if motion.flow is None:
        return painting
    flow = _flow(motion.flow, painting)
    return torch.where(_moves(flow), warp_sharp(painting, flow), painting)


def _moved(moments: AdamState, flow: Tensor) -> AdamState:
    """The optimiser's memory along the same flow as its picture."""

    def move(tensor: Tensor) -> Tensor:
        return warp(tensor, resize_flow(flow, (tensor.shape[-1], tensor.shape[-2])), "bilinear")

    moved = [
        move(torch.cat(of_scale, 1))
        for of_scale in zip(moments.squares, moments.weights, strict=True)
    ]
    return AdamState(
        move(moments.mean),
        tuple(each[:, :3] for each in moved),
        tuple(each[:, 3:] for each in moved),
    )


def _only(moments: AdamState, known: Tensor) -> AdamState:
    """Nothing remembered where (1, 1, H, W) ``known`` is 0; coarse scales keep their share."""
    shares: list[Tensor] = []
    for weight in moments.weights:  # each from the one before, a quarter of whose pixels it has
        known_there = shares[-1] if shares else known
        shares.append(F.adaptive_avg_pool2d(known_there, (weight.shape[-2], weight.shape[-1])))
    squares = tuple(square * share for square, share in zip(moments.squares, shares, strict=True))
    weights = tuple(weight * share for weight, share in zip(moments.weights, shares, strict=True))
    return AdamState(moments.mean * known, squares, weights)


def denoise(before: Tensor, now: Tensor) -> Tensor:
    """A frame without its sensor noise: what differs from before by no more than noise hardly counts.

    Changes of whole patches (light) count at once. Where the rest of a patch's change has more energy than noise
    has, it counts too (motion, which must not trail behind); in between in proportion.

    Args:
        before: (1, 3, H, W) in [0, 1], the steadied frame before, already moved to its place.
        now: (1, 3, H, W), the frame.
    """
    change = now - before
    broad = _patch_mean(
        _patch_mean(change)
    )  # twice: a single mean turns some waves upside down, and they would grow
    fine = change - broad
    energy = _patch_mean(fine.square().mean(1, keepdim=True))
    # The calmest fifth of the picture shows the noise: it holds noise alone, unless everything changes.
    patches = energy[
        ..., :: PATCH_PX // 2, :: PATCH_PX // 2
    ].flatten()  # every place is in several; a GPU sorts slowly
    noise = patches.kthvalue(1 + patches.numel() // 5).values.clamp(
        NOISE_FLOOR**2, NOISE_CEILING**2
    )
    share = ((energy / noise - 1.5) / 2.5).clamp(DENOISE_MIN_GAIN, 1)
    return (before + broad + share * fine).clamp(0, 1)


def _patch_mean(x: Tensor) -> Tensor:
    """(1, C, H, W): the mean over the square around each pixel, of what of it lies in the picture."""
    rows, columns = torch.ones_like(x[:1, :1, :, :1]), torch.ones_like(x[:1, :1, :1])
    return _patch_sum(_patch_sum(x, 2), 3) / (_patch_sum(rows, 2) * _patch_sum(columns, 3))


def _patch_sum(x: Tensor, side: int) -> Tensor:
    """The sum of ``PATCH_PX`` neighbours along a side, in sums of twos, fours and eight: many times quicker than pooling."""
    half, length = PATCH_PX // 2, x.shape[side]
    padded = F.pad(x, [half, half, 0, 0] if side == 3 else [0, 0, half, half])
    sums, width = padded, 1
    while 2 * width < PATCH_PX:
        sums = sums.narrow(side, 0, sums.shape[side] - width) + sums.narrow(
            side, width, sums.shape[side] - width
        )
        width *= 2
    return sums.narrow(side, 0, length) + padded.narrow(side, PATCH_PX - 1, length)


def step_budget(start: WarmStart, progress: float, steps: int) -> int:
    """How many of ``steps`` a frame deserves, at least one: all when much is new or changed, or work is left to do.

    It depends on nothing but the pictures, so that the same clip is painted the same way on any machine.
    """
    new, changed = start.change.tolist()
    need: float = max(new / NEW_SHARE, changed / CHANGE, progress / PROGRESS)
    return 1 + round((steps - 1) * min(1.0, need))
