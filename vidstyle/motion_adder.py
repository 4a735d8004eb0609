"""Where the motion of frames is computed: in the calling thread, beside it, or ahead of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue

from .flow.clip_motion import run_ahead, with_motion_tasks
from .flow.cuts import LOOK_AHEAD_FRAMES
from .flow.methods import FlowMethod, load_flow
from .flow.motion import Motion
from .io.frame import Frame
from .io.stream_info import VideoInfo
from .runtime.limits import threads
from .runtime.worker import PATIENCE_SECONDS, SENTINEL, Worker
from .stylizer.backward_pass import uses_backward_pass
from .stylizer.stylizer import Stylizer

MAX_PARALLEL_FLOWS = 8
"""Maximum number of optical flows computed at once beside a GPU. Each keeps two cores busy, and the
GPU stylises a frame in less time than one flow takes."""

Pair = tuple[Frame, Motion]


class MotionAdder:
    """Pairs frames with their motion: in the calling thread, in one beside it, or in several.

    ``ahead`` says that several threads compute it, as frames are read.

    Args:
        format: of the source.
        stylizer: its settings choose the method where ``flow`` is None.
        flow: optical flow method.
        past: number of frames before the first one that the motion refers to.
    """

    def __init__(
        self,
        format: Callable[[], VideoInfo],
        stylizer: Stylizer,
        flow: FlowMethod | None,
        past: int,
    ) -> None:
        self._format, self._stylizer, self.past = format, stylizer, past
        settings, device = stylizer.settings, stylizer.features.device
        self._live, on_cpu = format().live, device.type == "cpu"
        # On a CPU the flow and the optimisation would compete for the same cores. Which frames of a
        # live source are dropped is not known before the next frame is taken.
        self.ahead = not (self._live or on_cpu)
        self._next: NextMotion | None = None
        self._beside = self._live and on_cpu and threads() > 1
        method = flow or load_flow(settings.flow, device)
        # With another init no frame starts from the previous one.
        self._method = method if settings.init == "previous" else None

    def add(self, frames: Iterable[Frame]) -> Iterator[Pair]:
        """Yield each frame with its motion."""
        tasks = with_motion_tasks(
            frames,
            self._method,
            0 if self._live else LOOK_AHEAD_FRAMES,
            lambda: self._stylizer.flow_px(self._format().size),
            self.past,
            reverse=uses_backward_pass(self._stylizer, self._live),
        )
        if not self.ahead:
            return ((frame, task()) for frame, task in tasks)
        return run_ahead(tasks, max(1, min(MAX_PARALLEL_FLOWS, threads() // 2)))

    def pairs_of(self, reader: Worker) -> "tuple[Iterable[Pair], Worker | NextMotion]":
        """The frames of a reader with their motion, and what counts the calling thread's waits and
        the dropped frames."""
        if self._beside:
            self._next = NextMotion(reader, self.add, self._stylizer)
            return self._next, self._next
        return reader if self.ahead else self.add(reader), reader

    def close(self) -> None:
        """End the thread beside the calling one, if there is one, after that of the reader."""
        if self._next is not None:
            self._next.close()


class NextMotion:
    """Computes the motion of the next frame of a live source while the present one is optimised.

    On a CPU a live session leaves one core to other threads than the optimiser's. The next frame is
    taken at the start of the iteration that was the last one of the frame before: earlier, it would
    be older when its turn comes. ``waited`` counts the seconds for which the thread that iterates
    waited for the source.

    Args:
        reader: of the frames; its ``on_idle`` is called by the thread that iterates.
        add: pairs frames with their motion.
        stylizer: whose iterations are counted.
    """

    def __init__(
        self, reader: Worker, add: Callable[[Iterable[Frame]], Iterator[Pair]], stylizer: Stylizer
    ) -> None:
        self._reader, self._add, self._stylizer = reader, add, stylizer
        self._wanted: SimpleQueue[None] = SimpleQueue()
        self._asked = False
        self._iteration = self._last_iteration = 0
        self._taken = self.waited = 0.0
        self._worker = Worker(self._work, "motion")
        self._worker.on_idle, reader.on_idle = reader.on_idle, None
        self._on_iteration = stylizer.on_iteration
        stylizer.on_iteration = self._begin_iteration

    def __iter__(self) -> Iterator[Pair]:
        while True:
            self._ask()
            started = time.perf_counter()
            pair = self._worker.get()
            self.waited += max(0.0, self._taken - started)
            self._asked = False
            if pair is SENTINEL:
                break
            self._iteration = 0
            yield pair
            self._last_iteration = max(1, self._iteration)
        self._worker.raise_error()

    def _begin_iteration(self) -> None:
        self._iteration += 1
        if self._iteration == self._last_iteration:
            self._ask()
        self._on_iteration()

    def close(self) -> None:
        """End the thread, after that of the reader."""
        self._stylizer.on_iteration = self._on_iteration
        self._worker.stopped.set()
        self._worker.join()

    @property
    def dropped(self) -> int:
        """The number of frames that were passed over."""
        return self._reader.dropped

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._wanted.put(None)

    def _work(self, worker: Worker) -> None:
        for pair in self._add(self._frames(worker)):
            worker.put(pair)
        worker.put(SENTINEL)

    def _frames(self, worker: Worker) -> Iterator[Frame]:
        """The newest frame each time that one is wanted."""
        while not worker.stopped.is_set():
            try:
                self._wanted.get(timeout=PATIENCE_SECONDS)
            except Empty:
                continue
            frame = self._reader.get()
            self._taken = time.perf_counter()
            if frame is SENTINEL:
                self._reader.raise_error()
                return
            yield frame
