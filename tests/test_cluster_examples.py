"""examples/cluster: files for clusters and farms call vidstyle with flags that it has."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vidstyle.cli import build_parser

EXAMPLES = Path(__file__).parent.parent / "examples" / "cluster"

SBATCH = """#!/bin/sh
# Runs the command of --wrap here, once for each number of --array.
numbers=
while [ $# -gt 0 ]; do
    case $1 in
        --array=*) numbers=$(seq $(echo "${1#--array=}" | tr - ' ')) ;;
        --wrap) command=$2; shift ;;
    esac
    shift
done
for number in ${numbers:-none}; do SLURM_ARRAY_TASK_ID=$number sh -c "$command" >&2; done
echo 1
"""

VIDSTYLE = """#!/bin/sh
for word; do case $word in *.segments) : > "$word" ;; esac; done
for word; do printf '%s\\n' "$word"; done >> calls
echo >> calls
"""


def test_rayjob_entrypoint_is_accepted_by_the_parser():
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    _, *words = shlex.split(job["spec"]["entrypoint"])
    assert build_parser().parse_args(words).ray == "auto"


def test_ray_cluster_installs_the_extra_ray_on_every_machine():
    cluster = yaml.safe_load((EXAMPLES / "ray-cluster.yaml").read_text())
    assert any("[ray]" in command for command in cluster["setup_commands"])
    assert "--head" in cluster["head_start_ray_commands"][-1]
    assert "--address" in cluster["worker_start_ray_commands"][-1]


@pytest.mark.skipif(not shutil.which("sh") or os.name == "nt", reason="needs a POSIX shell")
def test_slurm_script_stylises_every_frame_once_and_joins_all_ranges(tmp_path):
    for name, text in (("sbatch", SBATCH), ("vidstyle", VIDSTYLE)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    words = ["sh", EXAMPLES / "slurm.sh", "my clip.mp4", "ink", "out.mp4", "1000"]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True, timeout=60)
    calls = (tmp_path / "calls").read_text().strip().split("\n\n")
    *renders, join = [build_parser().parse_args(call.split("\n")) for call in calls]
    frames = [number for each in renders for number in range(each.frames[0], each.frames[1] + 1)]
    assert frames[:1000] == list(range(1000))
    assert renders[-1].frames[0] < 1000
    assert {each.output for each in renders} == {str(name) for name in join.names}
    assert join.source == "my clip.mp4"
