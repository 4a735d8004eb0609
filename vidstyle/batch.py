"""A batch: many clips and images one after another. An error of one does not end the others."""

import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .errors import OutputError, VidstyleError
from .inputs import names_text
from .io.files import is_full_disk
from .job import RenderJob
from .progress import ProgressDisplay

log = logging.getLogger(__name__)

FULL_DISK_BYTES = 1 << 20
"""With less free space after an error, the disk counts as full. A segment of a clip needs more."""


def render_all(
    jobs: Sequence[RenderJob],
    render: Callable[[RenderJob], object],
    quiet: bool = False,
    skipped: int = 0,
    message: Callable[[VidstyleError], str] = str,
) -> None:
    """Render one job after another into folders that are created where they do not exist.

    An error ends its own job only, but a full disk ends the batch, and so does a reader of standard
    output that has gone.

    Args:
        jobs: what to render.
        render: renders one job, and shows its progress in the display of the batch.
        quiet: show no progress.
        skipped: number of further jobs of the batch that are done already.
        message: makes the message of an error.

    Raises:
        VidstyleError: some jobs failed, and the error names them, or the disk is full.
        BrokenPipeError: nothing reads standard output any more.
    """
    failed: list[str] = []
    total = len(jobs) + skipped
    with ProgressDisplay("file", total, quiet) as display:
        for number, job in enumerate(jobs):
            display.show(skipped + number)
            done = skipped + number - len(failed)
            try:
                make_folder(Path(job.output).parent)
                render(replace(job, batch_display=display))
            except VidstyleError as error:
                print(f"vidstyle: {message(error)}", file=sys.stderr)
                failed.append(str(job.input))
                _check_disk(job, error, done, total)
            except KeyboardInterrupt:
                resume = "--skip-existing resumes with the others"
                print(f"vidstyle: {done} of {total} files are finished; {resume}", file=sys.stderr)
                raise
            except Exception as error:  # a bug of vidstyle does not end the batch either
                if is_full_disk(error) or isinstance(error, BrokenPipeError):
                    raise
                kind = type(error).__name__
                print(
                    f"vidstyle: {job.input}: {kind}: {error} (a bug in vidstyle; -v shows where)",
                    file=sys.stderr,
                )
                log.debug("%s failed", job.input, exc_info=True)
                failed.append(f"{job.input} ({kind})")
        display.show(total)
    if failed:
        others = "; the others are finished, and --skip-existing skips them"
        raise VidstyleError(
            f"{len(failed)} of {total} failed: {names_text(failed)}"
            + (others if len(failed) < total else "")
        )


def _check_disk(job: RenderJob, error: VidstyleError, done: int, total: int) -> None:
    """End the batch where an error left a full disk: every further job would fail of it too.

    Raises:
        OutputError: it is full.
    """
    folder = Path(job.output).parent
    full = is_full_disk(error)
    with suppress(OSError):
        full = full or shutil.disk_usage(folder).free < FULL_DISK_BYTES
    if full:
        raise OutputError(
            f"the disk of {folder} is full: {done} of {total} files are finished; free some space, "
            "then --skip-existing resumes with the others"
        )


def make_folder(folder: Path) -> None:
    """Create the folder of an output.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be created ({error.strerror}): choose another place"
        ) from None
