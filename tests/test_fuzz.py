"""A short run of ``benchmarks/fuzz.py``, and the observer of side effects that it relies on."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CASES = 180


def test_fuzz_reads_or_refuses_damaged_and_hostile_files(tmp_path):
    file = tmp_path / "fuzz.json"
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), "--cases", str(CASES), "--seed", "11"]
    result = subprocess.run(
        [*command, "--json", str(file)],
        cwd=BENCHMARKS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(file.read_text())
    assert found["failures"] == []
    assert sum(sum(counts.values()) for counts in found["kinds"].values()) == CASES
    assert found["kinds"]["hostile"]["refused"] > 90
    assert sum(counts.get("read", 0) for counts in found["kinds"].values()) > 20


def test_fuzz_cases_are_reproducible(tmp_path, monkeypatch):
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
    other_seed = fuzz.Cases(tmp_path / "a", 4, 50000)
    assert damaged != [other_seed[number] for number in range(count, count + 60)]


def test_fuzz_watch_reports_each_forbidden_side_effect(tmp_path):
    """It runs as a script, since an audit hook cannot be removed from a process."""
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
actions = (
    lambda: None,
    lambda: (folder / "out" / "a").write_text("a"),
    lambda: (folder / "in" / "b").write_text("b"),
    connect,
    lambda: kept.append(open(__file__)),
    lambda: os.write(2, b"Traceback"),
)
for action in actions:
    with watch.on(folder):
        action()
    found.append(watch.wrong(folder))
Path(folder / "found").write_text("\\n".join(found))
"""
    (tmp_path / "watch.py").write_text(script)
    (tmp_path / "folder").mkdir()
    command = [sys.executable, str(tmp_path / "watch.py"), str(tmp_path / "folder")]
    subprocess.run(command, env={"PYTHONPATH": str(BENCHMARKS)}, check=True)
    found = (tmp_path / "folder" / "found").read_text().split("\n")
    assert found[:2] == ["", ""]
    expected = ("writes outside", "socket.", "leaves files open", "prints")
    for text, what in zip(found[2:], expected, strict=True):
        if what != "leaves files open" or Path("/proc/self/fd").exists():
            assert what in text
