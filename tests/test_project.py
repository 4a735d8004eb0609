"""The shape of the project itself: imports point one way, the public names are the documented ones,
the tools agree."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vidstyle

ROOT = Path(__file__).parent.parent
ROWS = (
    "errors time_text settings face_choices progress user_folders",
    "runtime.closing runtime.limits runtime.scheduling runtime.interrupts runtime.worker",
    "runtime.own_process runtime.device runtime.openmp",
    "io.files io.locks io.stream_info io.frame io.hdr io.container io.color io.timestamps io.icc",
    "io.heif io.image_names io.images io.tensor_file io.part_folder io.checkpoints",
    "io.side_data io.video_stream io.decode",
    "io.source io.mapped_source io.lut io.mask_levels io.frame_times io.mask_file io.mask",
    "io.source_times io.subtitles io.packets io.channel_layouts io.audio_encoder io.audio",
    "io.metadata io.side_streams io.sound_track",
    "io.codecs io.encode io.animation io.mux io.outputs io.sink_base",
    "io.segment_encoder io.video_writer io.range_writer io.shot_folder io.segment_archive",
    "io.frame_range io.recording_names io.direct_writer io.pipe_writer io.sink",
    "ops.custom_ops autograd.padding autograd.pooling autograd.filters autograd.convolution",
    "autograd.losses ops.pytree ops.tensors ops.color",
    "features.filter_bank features.network features.tiles features.extractor",
    "features.pretrained features.weights features.face_head face_models",
    "losses.base losses.text_mask losses.content losses.style losses.patches",
    "losses.patch_matching losses.orientation losses.total_variation losses.temporal",
    "losses.painted losses.objective losses.defaults",
    "optim.adam optim.lbfgs optim.cuda_graph optim.runners",
    "flow.fields flow.patch_match flow.matching flow.methods",
    "flow.motion flow.warp flow.exposure flow.noise flow.regions",
    "flow.camera flow.estimate flow.cuts flow.clip_motion flow.carried_mask flow.correspondence",
    "stylizer.cache stylizer.style stylizer.iterations stylizer.layer",
    "stylizer.background stylizer.state stylizer.denoise stylizer.gradual_change",
    "stylizer.warm_start stylizer.boil stylizer.regions stylizer.keyframe stylizer.tracks",
    "stylizer.timeline stylizer.sizes",
    "stylizer.cold_start stylizer.frame_setup stylizer.memory_check stylizer.output",
    "stylizer.report stylizer.stylizer stylizer.backward_pass checkpoint_scheduler",
    "metrics training.config training.images training.task training.trunk training.instances",
    "training.face_photos training.faces training.train_faces",
    "training.distillation training.muon training.loop training.trial motion_adder pipeline trace",
    "inputs",
    "conversions styles keyframes regions drawn_masks mask_clip painted_keyframes person faces",
    "canvas job render_progress render_job preview sheet sheet_output crossfade range_render",
    "range_jobs batch distributed.shot_list distributed.sources distributed.tasks",
    "distributed.workers distributed.outputs distributed.driver distributed.cluster",
    "distributed.render api_arguments api_masks api_stream api",
    "live.defaults",
    "web.address web.access web.connection web.running web.uploads web.certificate web.qr",
    "live.v4l2loopback live.latency_stamp live.shared_memory live.window live.network_camera",
    "live.stylized_area live.capture live.camera live.browser_camera live.slate",
    "live.output_device live.virtual_camera",
    "live.stream_worker live.stream_output live.ndi live.spout live.syphon",
    "live.microphone live.recorded_sound live.recorder",
    "live.pyramid_start live.rate_control live.filenames",
    "live.commands live.controls live.presets live.messages live.startup live.keys live.output",
    "live.osc",
    "live.set_list live.timing live.reprojection live.display",
    "live.session live.loop live.obs_client live.obs_install",
    "live.web.frames live.web.peer live.web.browser_video live.web.server live.obs",
    "studio.choices studio.items studio.frames studio.people studio.probe studio.library",
    "studio.edits studio.render_process studio.job studio.plan studio.devices studio.jobs",
    "studio.turns studio.preview_request studio.preview studio.contact_sheet studio.estimate",
    "studio.bodies studio.library_routes studio.job_routes studio.preview_routes studio.server",
    "bench.results bench.clips bench.textbook bench.temporal_metrics bench.runs bench.timing",
    "bench.op_count bench.fixtures bench.step_bench bench.baseline bench.contact_strip",
    "bench.still_scenes bench.new_regions bench.sintel bench.temporal bench.speed",
    "info cli.values cli.usage cli.https cli.shared_flags cli.render_flags cli.live_flags",
    "cli.bench_flags cli.render_outputs cli.render cli.mask cli.join cli.live_outputs cli.live",
    "cli.studio cli.sheet cli.train cli.bench cli.obs cli.parsers cli.main",
)
ORDER = [name for row in ROWS for name in row.split()]


def imports_of(path):
    """Names in ``ORDER`` of what a module imports, whether ``from ..media.frame import Frame`` or
    ``from . import measure``."""
    package = path.relative_to(ROOT / "vidstyle").parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [
                *package[: len(package) + 1 - node.level],
                *(node.module.split(".") if node.module else []),
            ]
            for name in node.names:
                whole = ".".join([*base, name.name])
                if not name.name.startswith("__"):
                    yield whole if whole in ORDER else ".".join(base)


def test_package_imports_point_one_way():
    files = {
        ".".join(path.relative_to(ROOT / "vidstyle").with_suffix("").parts): path
        for path in (ROOT / "vidstyle").rglob("*.py")
        if not path.stem.startswith("__") and "obs_scripts" not in path.parts
    }
    assert sorted(files) == sorted(ORDER)
    for name, path in files.items():
        for module in imports_of(path):
            assert ORDER.index(module) < ORDER.index(name), f"{name} imports {module}"


def modules_in_contributing():
    """The modules in the table of CONTRIBUTING.md, in its order, as in ``ORDER``."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Modules")[1].split("###")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    package = ""
    for cell in cells:
        if "**" in cell:
            package = ""
        for name in re.findall(r"`([\w/]+)`", cell):
            whole = (package + name).replace("/", ".")
            if not name.endswith("/"):
                yield whole
            elif "**" in cell and name != "cli/":
                package = name
            else:
                yield from (module for module in ORDER if module.startswith(whole))


def test_contributing_lists_every_module_in_the_order_of_imports():
    modules = list(modules_in_contributing())
    assert sorted(modules) == sorted(ORDER)
    for name in modules:
        for module in imports_of(ROOT / "vidstyle" / (name.replace(".", "/") + ".py")):
            assert modules.index(module) < modules.index(name), f"{name} imports {module}"


def test_package_all_lists_every_imported_name():
    tree = ast.parse((ROOT / "vidstyle" / "__init__.py").read_text())
    names = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for name in node.names
    }
    assert names == set(vidstyle.__all__)
    assert all(hasattr(vidstyle, name) for name in vidstyle.__all__)
    with pytest.raises(AttributeError):
        vidstyle.nonsense


def test_package_help_and_camera_do_not_import_pytorch():
    code = (
        "import sys, vidstyle.cli, vidstyle.live.startup; vidstyle.cli.build_parser(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["cli.live", "io.recording_names", "live.session", "api"])
def test_package_imports_opencv_before_pyav(module):
    # In the other order a window of OpenCV never opens. Modules are listed as they were begun.
    code = (
        f"import sys, vidstyle.{module}, vidstyle.io.decode, cv2; names = list(sys.modules); "
        "sys.exit(names.index('cv2') > names.index('av'))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", vidstyle.__all__)
def test_package_documents_every_public_name(name):
    assert getattr(vidstyle, name).__doc__ or name == "PRESETS"


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_project_passes_ruff_and_mypy(tool):
    result = subprocess.run(
        [sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_package_modules_are_short():
    lengths = {
        path.name: len(path.read_text("utf-8").splitlines())
        for path in (ROOT / "vidstyle").rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_changelog_has_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11")
    assert f"## {vidstyle.__version__}" in (ROOT / "CHANGELOG.md").read_text()
