"""Locks on outputs."""

import errno

import pytest

from vidstyle import OutputError
from vidstyle.io import locks
from vidstyle.io.locks import OutputLock


def test_output_lock_is_held_by_one_at_a_time(tmp_path):
    first, second = OutputLock(tmp_path / "out.mp4"), OutputLock(tmp_path / "out.mp4")
    with first:
        with pytest.raises(
            OutputError, match=r"out\.mp4 is being written by another program: wait until it ends"
        ):
            second.acquire()
        with OutputLock(tmp_path / "other.mp4"):
            pass
    with second:
        first.release()  # twice: it holds nothing any more
        with pytest.raises(OutputError):
            first.acquire()
    assert not list(tmp_path.iterdir())


def test_output_lock_ignores_the_file_that_a_killed_program_left(tmp_path):
    (tmp_path / ".out.mp4.lock").touch()
    with OutputLock(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_output_lock_changes_no_file_of_the_users(tmp_path):
    (tmp_path / ".out.mp4.lock").write_text("precious")
    with OutputLock(tmp_path / "out.mp4"):
        pass
    assert (tmp_path / ".out.mp4.lock").read_text() == "precious"


def test_output_lock_takes_a_new_file_where_its_holder_removed_the_old_one(tmp_path, monkeypatch):
    """As when the first ends between the second's opening of the file and its locking of it."""
    first, second = OutputLock(tmp_path / "out.mp4"), OutputLock(tmp_path / "out.mp4")
    first.acquire()
    lock = locks.lock_file

    def end_of_the_first(file):
        first.release()
        lock(file)

    monkeypatch.setattr(locks, "lock_file", end_of_the_first)
    with second:
        monkeypatch.undo()
        with pytest.raises(OutputError):
            OutputLock(tmp_path / "out.mp4").acquire()


def test_output_lock_goes_on_with_a_warning_where_there_are_no_locks(tmp_path, monkeypatch, caplog):
    def no_locks(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "lock_file", no_locks)
    with OutputLock(tmp_path / "out.mp4"):
        assert "has no locks (No locks available)" in caplog.text
    assert not list(tmp_path.iterdir())


def test_output_lock_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(OutputError, match="choose another name or place"):
        OutputLock(tmp_path / ("x" * 252)).acquire()
