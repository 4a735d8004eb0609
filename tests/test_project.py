"""The shape of the project itself: imports point one way, the public names are the documented ones, the tools agree."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vidstyle

ROOT = Path(__file__).parent.parent
ORDER = (
    ["errors", "files", "settings", "device", "progress", "results", "stage", "loopback"],
    ["format"],
    ["frame", "tensors", "tensorfile", "hdr", "stopwatch", "sharedpicture"],
    ["container", "color", "clock", "pictures", "features", "flow", "estimate", "segments"],
    ["decode", "subtitles", "beside", "coders", "encode", "animate", "source", "losses", "motion", "clips", "weights"],
    ["mux", "style", "optimize", "execution", "textbook", "measure", "judge"],
    ["writing", "writer", "pipe", "sink", "warmstart", "stylizer", "window", "camera", "virtualcamera"],
    ["pipeline", "recorder", "pace", "steering", "show", "trace", "training", "painted"],
    ["live", "web", "obs", "render", "timed", "steadiness", "speed", "info"],
    ["flags", "cli"],
)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [name.name for name in node.names if not name.name.startswith("__")]


def test_imports_point_one_way():
    rank = {name: number for number, names in enumerate(ORDER) for name in names}
    files = {path.stem: path for path in (ROOT / "vidstyle").glob("*.py") if not path.stem.startswith("__")}
    assert set(files) == set(rank)
    for name, path in files.items():
        for module in imports_of(path):
            same = rank[module] == rank[name] and ORDER[rank[name]].index(module) < ORDER[rank[name]].index(name)
            assert rank[module] < rank[name] or same, f"{name} imports {module}"


def test_all_names_what_is_imported_and_nothing_else():
    tree = ast.parse((ROOT / "vidstyle" / "__init__.py").read_text())
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for name in node.names}
    assert names == set(vidstyle.__all__)
    assert all(hasattr(vidstyle, name) for name in vidstyle.__all__)
    with pytest.raises(AttributeError):
        vidstyle.nonsense


def test_neither_help_nor_the_camera_waits_for_pytorch():
    code = "import sys, vidstyle.cli, vidstyle.show; vidstyle.cli.build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", vidstyle.__all__)
def test_every_public_name_is_documented(name):
    assert getattr(vidstyle, name).__doc__ or name == "PRESETS"


@pytest.mark.parametrize("tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join)
def test_the_tools_agree(tool):
    result = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_readme_shows_the_command_ci_runs_and_files_that_exist():
    readme = (ROOT / "README.md").read_text()
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command.strip() in readme
    for word in readme.replace("(", " ").replace(")", " ").split():
        if word.startswith(("samples/", "docs/", "benchmarks/")):
            assert (ROOT / word.rstrip(".,`:")).exists(), word


def test_the_version_is_in_the_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11")
    assert f"## {vidstyle.__version__}" in (ROOT / "CHANGELOG.md").read_text()
