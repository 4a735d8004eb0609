"""The shape of the project itself: imports point one way, the public names are the documented ones, the tools agree."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vidstyle

ROOT = Path(__file__).parent.parent
ROWS = (
    "errors limits settings progress interrupts stage",
    "media.files media.locks media.format media.frame media.hdr media.container media.color media.clock media.colorprofile",
    "media.heif media.pictures media.tensorfile media.jobfolder media.segments media.sidedata media.decode media.source",
    "media.subtitles media.packets media.channels media.soundencoder media.sound media.beside media.coders media.encode",
    "media.animate media.mux media.outputs",
    "media.writing media.writer media.recordable media.direct media.pipe media.sink",
    "painting.device painting.openmp painting.opaque painting.cache painting.tensors painting.colours painting.bank",
    "painting.features",
    "painting.flow painting.estimate painting.matching painting.losses painting.motion painting.weights painting.style",
    "painting.optimize painting.recording painting.execution painting.warmstart painting.beginning painting.room",
    "painting.stylizer painting.judge painting.training",
    "pipeline trace render batch",
    "live.loopback live.stopwatch live.sharedpicture live.window live.networkcamera live.capture live.camera",
    "live.slate live.feed live.virtualcamera",
    "live.sender live.broadcast live.recorder live.pace live.filenames live.commands live.steering live.messages",
    "live.show live.keys live.session",
    "live.web.address live.web.access live.web.connection live.web.pictures live.web.server live.obs",
    "bench.results bench.clips bench.textbook bench.measure bench.painted bench.timed bench.operations",
    "bench.subject bench.onestep bench.baseline bench.steadiness bench.speed",
    "info cli.usage cli.flags cli.render cli.live cli.train cli.bench cli.obs cli.main",
)
ORDER = [name for row in ROWS for name in row.split()]


def imports_of(path):
    """Names in ``ORDER`` of what a module imports, whether ``from ..media.frame import Frame`` or ``from . import measure``."""
    package = path.relative_to(ROOT / "vidstyle").parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) + 1 - node.level], *(node.module.split(".") if node.module else [])]
            for name in node.names:
                whole = ".".join([*base, name.name])
                if not name.name.startswith("__"):
                    yield whole if whole in ORDER else ".".join(base)


def test_imports_point_one_way():
    files = {
        ".".join(path.relative_to(ROOT / "vidstyle").with_suffix("").parts): path
        for path in (ROOT / "vidstyle").rglob("*.py")
        if not path.stem.startswith("__") and "obs_scripts" not in path.parts
    }
    assert sorted(files) == sorted(ORDER)
    for name, path in files.items():
        for module in imports_of(path):
            assert ORDER.index(module) < ORDER.index(name), f"{name} imports {module}"


def test_all_names_what_is_imported_and_nothing_else():
    tree = ast.parse((ROOT / "vidstyle" / "__init__.py").read_text())
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for name in node.names}
    assert names == set(vidstyle.__all__)
    assert all(hasattr(vidstyle, name) for name in vidstyle.__all__)
    with pytest.raises(AttributeError):
        vidstyle.nonsense


def test_neither_help_nor_the_camera_waits_for_pytorch():
    code = "import sys, vidstyle.cli, vidstyle.live.show; vidstyle.cli.build_parser(); sys.exit('torch' in sys.modules)"
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
