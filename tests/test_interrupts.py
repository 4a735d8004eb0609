"""Signals, and what an exception out of a signal handler leaves behind."""

import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import SECONDS

from vidstyle.runtime import worker as stages
from vidstyle.runtime.worker import SENTINEL, Worker

TRACED = {stages.__file__, threading.__file__, queue.__file__}


class InterruptAt:
    """Raises KeyboardInterrupt in this thread at the n-th instruction within the files of queues
    and threads."""

    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in TRACED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)

    def __exit__(self, *_):
        sys.settrace(None)


def returned(function):
    """What a function returns, within a time limit."""
    found = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(function()), daemon=True).start()
    return found.get(timeout=SECONDS)


def test_worker_finishes_after_an_interrupt_at_any_instruction_of_put():
    interrupted, number = True, 0
    while interrupted:
        taken = []
        stage = Worker(lambda stage, taken=taken: taken.extend(iter(stage.get, SENTINEL)), "test")
        time.sleep(0.005)  # until the thread waits for an item
        try:
            with InterruptAt(number):
                stage.put(1)
            interrupted = False
        except KeyboardInterrupt:
            pass
        returned(stage.finish)
        assert taken in ([], [1])
        number += 1
    assert taken == [1] and number > 20


def test_worker_can_be_read_after_an_interrupt_at_any_instruction_of_get(monkeypatch):
    monkeypatch.setattr(stages, "PATIENCE_SECONDS", 0.01)

    def count(stage):
        number = 0
        while stage.put(number):
            number += 1

    interrupted, number = True, 0
    while interrupted:
        stage = Worker(count, "test")
        try:
            with InterruptAt(number):
                stage.get()
            interrupted = False
        except KeyboardInterrupt:
            pass
        assert returned(stage.get) in (0, 1)
        stage.stopped.set()
        stage.join(SECONDS)
        assert not stage.is_alive()
        number += 1
    assert number > 20


HEAD = """
import os, socket, sys, time
from vidstyle.runtime import interrupts
interrupts.NOTICE_SECONDS, interrupts.GRACE_SECONDS = 0.2, 5.0
interrupts.HINT_SECONDS = 0.6  # above the time in which signals count as one
def ready():
    print("ready", flush=True)
def wait_in_c():
    import av
    silent = socket.create_server(("127.0.0.1", 0))
    ready()
    av.open(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
with interrupts.handled() as signals:
"""


def run(body, repeated=0, hinted=False, number=signal.SIGINT):
    """Run a program and send it a signal.

    Args:
        body: of the program.
        repeated: number of further signals, which follow at once.
        hinted: send another one when the program has said that it would end it.
        number: of the signal.

    Returns:
        Its exit code, and what it wrote.
    """
    script = HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines())
    before = signal.signal(number, signal.SIG_DFL)  # a child would inherit that it is ignored
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(number, before)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(number)
        for _ in range(repeated):
            time.sleep(0.05)
            process.send_signal(number)
        hint = process.stderr.readline() if hinted else ""
        if hinted:
            process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out + hint + err


FINISHING = """
with interrupts.deferred():
    ready()
    try:
        while True:
            time.sleep(0.01)
            interrupts.check()
    finally:
        time.sleep({})
        print("finished", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupts_let_finish_what_is_begun(number):
    code, output = run(FINISHING.format(0.5), number=number)
    assert "finished" in output and "KeyboardInterrupt" in output and code in (1, -signal.SIGINT)


def test_interrupts_of_the_same_moment_count_as_one():
    code, output = run(f"interrupts.REPEAT_SECONDS = {SECONDS}" + FINISHING.format(0.5), repeated=2)
    assert "finished" in output and code in (1, -signal.SIGINT)


def test_interrupts_end_the_program_the_second_time():
    code, output = run(FINISHING.format(SECONDS), hinted=True)
    assert code == 130 and "finished\n" not in output
    assert "again to end at once" in output and output.endswith(
        "vidstyle: interrupted again: ended at once\n"
    )


def test_interrupts_end_a_wait_in_c_code_the_first_time_where_nothing_is_to_be_finished():
    assert run("wait_in_c()") == (130, "vidstyle: interrupted\n")


def test_interrupts_end_a_wait_in_c_code_the_second_time_where_something_is_to_be_finished():
    code, output = run("with interrupts.deferred():\n    wait_in_c()", hinted=True)
    assert code == 130 and output.endswith("ended at once\n")


def test_interrupts_raise_nothing_where_nothing_is_checked():
    assert run("""
ready()
try:
    while True:
        pass
finally:
    print("raised")
""") == (130, "vidstyle: interrupted\n")


def test_interrupts_let_tidy_up_where_nothing_is_to_be_finished():
    code, output = run("""
interrupts.NOTICE_SECONDS = 20
ready()
try:
    while True:
        interrupts.check()
finally:
    time.sleep(0.3)
    print("tidied up", flush=True)
""")
    assert "tidied up" in output and "KeyboardInterrupt" in output and code in (1, -signal.SIGINT)


def test_interrupts_that_come_while_the_last_step_runs_are_raised_after_it():
    code, output = run("""
with interrupts.deferred():
    ready()
    while not signals.requested:
        time.sleep(0.01)
    print("whole", flush=True)
print("went on")
""")
    assert "whole" in output and "went on" not in output and code in (1, -signal.SIGINT)


def test_interrupts_of_a_forked_child_are_not_its_parents():
    script = (
        HEAD
        + """
    there, here = os.pipe()
    child = os.fork()
    if not child:
        os.write(here, b".")
        time.sleep(60)
    os.read(there, 1)
    os.kill(child, 15)
    _, status = os.waitpid(child, 0)
    time.sleep(3 * interrupts.NOTICE_SECONDS)
    print(os.waitstatus_to_exitcode(status))
"""
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (result.returncode, result.stdout) == (0, "-15\n"), result.stderr
