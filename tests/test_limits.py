"""Cores and memory a process may use, in cgroup trees made in the test."""

import os
import subprocess
import sys

import pytest

from vidstyle import cli
from vidstyle.runtime import limits


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Writes the files of a cgroup; without a path of its own the cgroup is the root that a
    container sees."""
    own = tmp_path / "own"
    own.write_text("0::/\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def write(folder="", **files):
        (tmp_path / "cgroup" / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / "cgroup" / folder / name.replace("__", ".")).write_text(text)
        return tmp_path / "cgroup", own

    return write


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("400000 100000", 4),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("x", 8),
    ],
)
def test_usable_cores_are_the_whole_cores_of_the_quota(group, quota, cores):
    assert limits.usable_cores(*group(cpu__max=quota)) == cores


def test_usable_cores_follow_the_tightest_quota_above(group):
    tree, own = group("a", cpu__max="300000 100000")
    group("a/b", cpu__max="max 100000")
    own.write_text("0::/a/b\n")
    assert limits.usable_cores(tree, own) == 3


def test_usable_cores_read_version_1(group):
    tree, own = group(
        "cpu/a", **{"cpu__cfs_quota_us": "200000\n", "cpu__cfs_period_us": "100000\n"}
    )
    own.write_text("3:cpuset:/\n2:cpu:/a\n0::/\n")
    assert limits.usable_cores(tree, own) == 2
    group("cpu/a", cpu__cfs_quota_us="-1\n")
    assert limits.usable_cores(tree, own) == 8


def test_usable_cores_without_cgroups_are_the_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert limits.usable_cores(tmp_path / "none", tmp_path / "none") == 1


def test_free_cgroup_memory_counts_the_cache_as_free(group):
    tree, own = group(
        memory__max="1000\n", memory__current="700\n", memory__stat="anon 400\ninactive_file 300\n"
    )
    assert limits.free_cgroup_memory(tree, own) == 600


def test_free_cgroup_memory_is_none_without_a_limit(group):
    tree, own = group(
        memory__max="max\n", memory__current="700\n", memory__stat="inactive_file 300\n"
    )
    assert limits.free_cgroup_memory(tree, own) is None


def test_free_cgroup_memory_reads_version_1(group):
    files = {
        "memory__limit_in_bytes": "1000",
        "memory__usage_in_bytes": "900",
        "memory__stat": "total_inactive_file 50\n",
    }
    tree, own = group("memory", **files)
    own.write_text("4:memory:/unseen/here\n")
    assert limits.free_cgroup_memory(tree, own) == 150
    group("memory", memory__limit_in_bytes="9223372036854771712")
    assert limits.free_cgroup_memory(tree, own) is None


def test_threads_never_exceed_the_usable_cores(monkeypatch):
    monkeypatch.setattr(limits, "_threads", None)
    monkeypatch.setattr(limits, "usable_cores", lambda: 3)
    assert limits.threads() == 3
    limits.set_threads(2)
    assert limits.threads() == 2
    limits.set_threads(50)
    assert limits.threads() == 3
    with pytest.raises(ValueError, match="1 or more"):
        limits.set_threads(0)


IMPORTED = """
import torch
import vidstyle
from vidstyle.runtime import limits
limits.usable_cores = lambda: 1  # as in a container with a quota of one core
torch.set_num_threads(2)
vidstyle.load_features("bundled", "cpu")
print(torch.get_num_threads())
"""


def test_load_features_uses_the_usable_cores_only():
    command = [sys.executable, "-c", IMPORTED]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert found.stdout.split() == ["1"]


def test_threads_flag_of_the_command_is_checked(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["render", "clip.mp4", "style.png", "-o", "out.mp4", "--threads", "0"])
    assert left.value.code == 2
    assert "--threads is 0: it must be 1 or more" in capsys.readouterr().err
