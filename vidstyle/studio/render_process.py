"""A render as a process of its own: its command, its progress, and its end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

from ..runtime.own_process import module_command, module_environment

CANCEL_SECONDS = 3.0
"""Time in seconds that a cancelled render may take to end before it is killed."""

ORPHAN_SECONDS = 30.0
"""Time in seconds that a render which a killed server left behind may take to end."""

POLL_SECONDS = 0.05

NICENESS = 10
"""Priority of renders below that of the server, whose previews are to stay quick."""

MAX_MESSAGE_LENGTH = 400
"""Characters of a render's last message that are kept."""


def render_arguments(
    names: tuple[str, str, str],
    preset: str,
    settings: Mapping[str, Any],
    part: tuple[float | None, float | None] = (None, None),
) -> list[str]:
    """The arguments of ``vidstyle`` for a render.

    Args:
        names: of the input, the style, and the output.
        preset: name of a preset.
        settings: changes of it.
        part: start and end in seconds; None: from the first frame, or to the last.
    """
    found = ["render", "-i", names[0], "-s", names[1], "-o", names[2], "--preset", preset]
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            found += [flag] if value else []
        elif value is not None:
            found.append(f"{flag}={value}")
    for flag, seconds in zip(("-ss", "-to"), part, strict=True):
        if seconds is not None:
            found += [flag, f"{seconds:.3f}"]
    return found


def shown_command(arguments: Sequence[str]) -> str:
    """A command as a user types it into a shell."""
    return shlex.join(["vidstyle", *arguments])


class RenderProcess:
    """A running ``vidstyle render`` that writes its progress as JSON lines.

    It ends by itself, and keeps its finished frames, when the server is killed: nobody reads its
    progress any more.

    Args:
        arguments: of ``vidstyle``, see ``render_arguments``.
        log: file that its messages are added to.
        folder: that names of files are relative to.

    Raises:
        OSError: it cannot be started, or the file cannot be written.
    """

    def __init__(self, arguments: Sequence[str], log: Path, folder: Path | None = None) -> None:
        self._log, self._log_start = log, log.stat().st_size if log.exists() else 0
        command = module_command("vidstyle", *arguments, "--json", "-")
        with log.open("ab") as messages:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=module_environment(),
                cwd=folder,
                start_new_session=True,  # Ctrl-C in the server's terminal is the server's alone
            )
        self.pid = self._process.pid
        self.start = process_start(self.pid)
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, NICENESS)

    def events(self) -> Iterator[dict[str, Any]]:
        """The events of ``progress.EventWriter``, until the process ends."""
        for line in self._process.stdout or ():
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event

    def wait(self) -> int:
        """Wait for the end, and return the exit code; that of a signal is negative."""
        code = self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        return code

    def interrupt(self) -> None:
        """Ask it to end and keep what is finished. SIGTERM does what SIGINT does, and cannot be
        ignored by inheritance, as SIGINT is by programs that a shell starts in the background."""
        self._process.terminate()

    def cancel(self) -> None:
        """Ask it to end, and kill it if that takes long."""
        self._process.terminate()
        timer = Timer(CANCEL_SECONDS, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self._process.kill()

    def last_message(self) -> str:
        """The last line of its messages; "" where there is none."""
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(max(self._log_start, self._log.stat().st_size - (1 << 14)))
            lines = file.read().decode("utf-8", "replace").splitlines()
            found = [line.strip() for line in lines if line.startswith("vidstyle: ")]
            found = found or [line.strip() for line in lines if line.strip()]
            if found:
                return found[-1].removeprefix("vidstyle: ")[:MAX_MESSAGE_LENGTH]
        return ""


def process_start(pid: int) -> str:
    """When a process started, as text that no other process of this number shares.

    "" where there is no such process, or where the system does not tell.
    """
    with suppress(OSError, IndexError):  # Linux; the name in parentheses may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
            found = subprocess.run(command, capture_output=True, timeout=5, check=False)
            return found.stdout.decode().strip()
    return ""


def end_orphan(pid: int, start: str) -> None:
    """End a render that a killed server left behind, if it still runs.

    Args:
        pid: its number.
        start: its ``process_start``, which tells it from a later process of this number.
    """
    if not start or process_start(pid) != start:
        return
    with suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + ORPHAN_SECONDS
    while process_start(pid) == start and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    if process_start(pid) == start and hasattr(signal, "SIGKILL"):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        while process_start(pid) == start and time.monotonic() < until + ORPHAN_SECONDS:
            time.sleep(POLL_SECONDS)
