"""When a run is checkpointed: where a segment of the output ends."""

from collections.abc import Sequence
from fractions import Fraction

from .io.checkpoints import Checkpoint
from .stylizer.backward_pass import PlannedFrame
from .stylizer.stylizer import Stylizer

GPU_SEGMENT_FACTOR = 10
"""Factor by which segments are longer with a GPU: saving the state of a large frame takes as long
there as stylising dozens of frames."""


class CheckpointScheduler:
    """Makes a checkpoint where a segment ends: at a cut, or when the segment is long enough.

    Args:
        stylizer: its state is saved.
        sinks: the shortest of their ``segment_seconds`` counts; without any there are no
            checkpoints.
        done: frames stylised before.
        shot: how many of them belong to the current shot.
    """

    def __init__(self, stylizer: Stylizer, sinks: Sequence[object], done: int, shot: int) -> None:
        durations = [getattr(sink, "segment_seconds", None) for sink in sinks]
        wanted = [each for each in durations if each is not None]
        factor = 1 if stylizer.features.device.type == "cpu" else GPU_SEGMENT_FACTOR
        self._seconds: Fraction | None = factor * min(wanted) if wanted else None
        self._stylizer, self._frames, self._shot = stylizer, done, shot
        self._segment_start: Fraction | None = None

    def maybe_checkpoint(self, planned: PlannedFrame) -> Checkpoint | None:
        """A checkpoint if one is due before this frame."""
        made, frame, motion = None, planned.frame, planned.motion
        if self._segment_start is None:
            self._segment_start = frame.time
        elif (
            self._seconds is not None
            and planned.first_of_window
            and (motion.cut or frame.time - self._segment_start >= self._seconds)
        ):
            self._segment_start = frame.time
            state = {} if motion.cut else self._stylizer.state()
            # A resumed run starts from the saved state. Loading it here as well makes both runs
            # equal, even if saving changes the last bit of a value.
            self._stylizer.load_state(state)
            made = Checkpoint(self._frames, self._shot, state)
        self._frames += 1
        self._shot = 1 if motion.cut else self._shot + 1
        return made
