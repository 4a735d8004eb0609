"""Dockerfile and integrations/container: one image of the studio, whose parts agree."""

import json
import re
from pathlib import Path

import yaml

from vidstyle.cli import build_parser

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "integrations" / "container"
STAGES = dict(
    re.findall(
        r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", (ROOT / "Dockerfile").read_text(), re.M | re.S
    )
)


def service(name):
    """The studio's service in a compose file."""
    return yaml.safe_load((FOLDER / name).read_text())["services"]["studio"]


def command(stage):
    """The arguments of ``vidstyle`` that a stage has by default."""
    return json.loads(re.search(r"^CMD (\[.*\])$", STAGES[stage], re.M)[1])


def test_image_serves_the_studio_on_the_port_that_it_names():
    args = build_parser().parse_args(command("studio"))
    host, port = args.address.split(":")
    assert host == "0.0.0.0" and args.no_browser
    assert f"EXPOSE {port}\n" in STAGES["studio"]
    assert f"http://127.0.0.1:{port}/" in STAGES["studio"].split("HEALTHCHECK")[1]
    (published,) = service("compose.yaml")["ports"]
    assert published == f"127.0.0.1:{port}:{port}"


def test_image_keeps_the_folder_and_the_cache_in_volumes():
    volumes = json.loads(re.search(r"^VOLUME (.*)$", STAGES["studio"], re.M)[1])
    assert str(build_parser().parse_args(command("studio")).folder) in volumes
    mounted = [each.split(":")[1] for each in service("compose.yaml")["volumes"]]
    assert sorted(mounted) == sorted(volumes)
    assert f"--owner vidstyle --group vidstyle {' '.join(volumes)}\n" in STAGES["base"]


def test_image_runs_without_privileges():
    for name in ("studio", "cluster"):
        assert re.findall(r"^USER (.*)$", STAGES[name], re.M) == ["1000"]


def test_image_of_the_cluster_is_the_default():
    assert list(STAGES) == ["base", "studio", "cluster"]
    assert "/src[ray]" in STAGES["cluster"]


def test_compose_files_build_the_target_with_and_without_cuda():
    build = service("compose.yaml")["build"]
    assert build["target"] in STAGES
    assert (FOLDER / build["context"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    choices = build["args"], service("compose.cuda.yaml")["build"]["args"]
    assert choices == ({"CUDA": 0}, {"CUDA": 1}) and "ARG CUDA=" in STAGES["base"]
