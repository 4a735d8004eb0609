"""Shared memory output: exact pixels, access rights, locking, and the Lua script that reads it."""

import ctypes.util
import errno
import os
import struct
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from conftest import scene

from vidstyle import OutputError
from vidstyle.live.shared_memory import (
    FILE_BYTES,
    HEADER_BYTES,
    SLOT_BYTES,
    SLOTS,
    SharedMemoryOutput,
    shared_memory_path,
)


def read_newest(path):
    """Read the newest frame as the script does: (number, (H, W, 4) BGRA), or (0, None)."""
    data = path.read_bytes()
    magic, version, slots, newest = struct.unpack_from("<4sIII", data)
    assert (magic, version, slots, len(data)) == (b"VST1", 1, SLOTS, FILE_BYTES)
    if newest == 0:
        return 0, None
    place = HEADER_BYTES + newest % SLOTS * SLOT_BYTES
    number, width, height = struct.unpack_from("<III", data, place)
    assert number == newest
    return newest, np.frombuffer(data, np.uint8, width * height * 4, place + HEADER_BYTES).reshape(
        height, width, 4
    )


def test_shared_memory_output_is_exact(tmp_path):
    path = tmp_path / "picture"
    output = SharedMemoryOutput(path)
    output.open(None)
    assert read_newest(path) == (0, None)
    for number in range(1, 6):
        image = scene(number / 10)
        output.show(image)
        found, bgra = read_newest(path)
        assert (
            found == number
            and np.array_equal(bgra[..., 2::-1], image)
            and (bgra[..., 3] == 255).all()
        )
    output.show(np.full((10, 20, 4), 40000, np.uint16))
    assert (read_newest(path)[1][..., :3] == 40000 >> 8).all()
    output.show(np.zeros((3000, 1000, 3), np.uint8))
    assert read_newest(path)[1].shape == (1080, 360, 4)
    output.close()
    output.close()
    assert read_newest(path) == (0, None)


def simulate_kill(output):
    """Release the file as the system does for a killed process."""
    output._memory.close()
    output._file.close()


def test_shared_memory_output_reuses_file_and_replaces_invalid_one(tmp_path):
    path = tmp_path / "picture"
    first = SharedMemoryOutput(path)
    first.show(scene())
    file = path.stat().st_ino
    simulate_kill(first)
    again = SharedMemoryOutput(path)
    again.show(scene(1))
    assert read_newest(path)[0] == 2 and path.stat().st_ino == file
    simulate_kill(again)
    path.write_bytes(b"rubbish" * 100)
    SharedMemoryOutput(path)
    assert read_newest(path) == (0, None)


def test_shared_memory_output_names_path_that_cannot_be_written(tmp_path):
    (tmp_path / "picture").mkdir()
    with pytest.raises(OutputError, match="remove it, or go without --obs"):
        SharedMemoryOutput(tmp_path / "picture")
    assert shared_memory_path().name == f"vidstyle-picture-{os.geteuid()}"


def test_shared_memory_output_rejects_files_of_others(tmp_path, monkeypatch):
    path, mine = tmp_path / "picture", tmp_path / "mine"
    mine.write_bytes(b"precious")
    path.symlink_to(mine)
    with pytest.raises(
        OutputError, match=r"it is a symbolic link\): remove it, or go without --obs"
    ):
        SharedMemoryOutput(path)
    path.unlink()
    path.hardlink_to(mine)
    mine.chmod(0o600)
    with pytest.raises(OutputError, match="has another name: remove it"):
        SharedMemoryOutput(path)
    assert mine.read_bytes() == b"precious"
    mine.unlink()
    path.chmod(0o644)
    with pytest.raises(OutputError, match="accessible to other users"):
        SharedMemoryOutput(path)
    path.unlink()
    SharedMemoryOutput(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(
        OutputError, match="belongs to another user: have its owner or root remove it"
    ):
        SharedMemoryOutput(path)


def test_shared_memory_output_is_locked(tmp_path):
    path = tmp_path / "picture"
    code = (
        "import sys, pathlib; from vidstyle.live.shared_memory import SharedMemoryOutput\n"
        "picture = SharedMemoryOutput(pathlib.Path(sys.argv[1])); print(1, flush=True); input()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout.readline() == b"1\n"
        with pytest.raises(
            OutputError, match="another vidstyle process sends frames to OBS: stop it"
        ):
            SharedMemoryOutput(path)
        first.kill()
    second = SharedMemoryOutput(path)
    with pytest.raises(OutputError, match="another vidstyle process"):
        SharedMemoryOutput(path)
    second.close()
    SharedMemoryOutput(path).close()


def test_obs_script_opens_no_symbolic_link(tmp_path):
    library = ctypes.util.find_library("luajit-5.1")
    if not library:
        pytest.skip("needs LuaJIT's library, which comes with OBS")
    lua = ctypes.CDLL(library)
    lua.luaL_newstate.restype, lua.lua_tolstring.restype = ctypes.c_void_p, ctypes.c_char_p
    script = (
        resources.files("vidstyle.live").joinpath("obs_scripts/vidstyle_source.lua").read_text()
    )
    script = script[: script.index("local function unmap")].replace("local obs = obslua", "")

    def opened(path):
        state = ctypes.c_void_p(lua.luaL_newstate())
        lua.luaL_openlibs(state)
        assert (
            lua.luaL_loadstring(
                state, f"{script}\nreturn tostring(map_file('{path}') ~= nil)".encode()
            )
            == 0
        )
        assert lua.lua_pcall(state, 0, 1, 0) == 0
        found = lua.lua_tolstring(state, -1, None) == b"true"
        lua.lua_close(state)
        return found

    path, link = tmp_path / "picture", tmp_path / "link"
    output = SharedMemoryOutput(path)
    link.symlink_to(path)
    assert opened(path) and not opened(link)
    output.close()


def test_shared_memory_output_on_full_disk(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="No space left on device"):
        SharedMemoryOutput(tmp_path / "picture")
