"""A little of the fuzzing that ``benchmarks/fuzz.py`` does at length, so that it cannot rot."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_damaged_and_hostile_files_are_painted_or_refused_in_one_line(tmp_path):
    file = tmp_path / "fuzz.json"
    command = [
        sys.executable,
        str(BENCHMARKS / "fuzz.py"),
        "--cases",
        "180",
        "--seed",
        "11",
        "--json",
        str(file),
    ]
    result = subprocess.run(
        command, cwd=BENCHMARKS.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(file.read_text())
    assert found["failures"] == []
    assert sum(sum(counts.values()) for counts in found["kinds"].values()) == 180
    assert found["kinds"]["hostile"]["refused"] > 90
    assert sum(counts.get("painted", 0) for counts in found["kinds"].values()) > 20


def test_a_case_is_always_the_same(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import fuzz
    import fuzz_files

    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        fuzz_files.make_seeds(tmp_path / name)
        made.append(fuzz.Cases(tmp_path / name, 3, 50000))
    count = len(made[0])
    damaged = [made[0][number] for number in range(count, count + 60)]
    assert damaged == [made[1][number] for number in range(count, count + 60)]
    assert damaged != [
        fuzz.Cases(tmp_path / "a", 4, 50000)[number] for number in range(count, count + 60)
    ]


def test_what_a_case_does_to_the_world_is_seen(tmp_path):
    """The watch itself: a script of its own, since an audit hook stays for good."""
    script = """
import os, socket, sys, tempfile
from pathlib import Path
from fuzz_watch import Watch
folder = Path(sys.argv[1])
for name in ("in", "out"):
    (folder / name).mkdir()
watch, found, kept = Watch(), [], []
def connect():
    with socket.socket() as client:
        client.settimeout(0.1)
        client.connect_ex(("127.0.0.1", 9))
deeds = (lambda: None, lambda: (folder / "out" / "a").write_text("a"), lambda: (folder / "in" / "b").write_text("b"), connect,
         lambda: kept.append(open(__file__)), lambda: os.write(2, b"Traceback"))
for deed in deeds:
    with watch.on(folder):
        deed()
    found.append(watch.wrong(folder))
Path(folder / "found").write_text("\\n".join(found))
"""
    (tmp_path / "watch.py").write_text(script)
    (tmp_path / "folder").mkdir()
    command = [sys.executable, str(tmp_path / "watch.py"), str(tmp_path / "folder")]
    subprocess.run(command, env={"PYTHONPATH": str(BENCHMARKS)}, check=True)
    found = (tmp_path / "folder" / "found").read_text().split("\n")
    assert found[:2] == ["", ""]
    expected = ("writes beside", "socket.", "leaves files open", "says")
    for said, what in zip(found[2:], expected, strict=True):
        if what != "leaves files open" or Path("/proc/self/fd").exists():
            assert what in said
