"""integrations/comfyui: the nodes keep to ComfyUI's schema, stylise, report and cancel.

ComfyUI is no package of PyPI: ``comfy_stubs`` stands in for them.
"""

import asyncio
import importlib.util
import json
import sys
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_stubs import (
    Host,
    InterruptProcessingException,
    VideoComponents,
    VideoFromComponents,
    modules,
)
from conftest import scene, stripes

import vidstyle

FOLDER = Path(__file__).parent.parent / "integrations" / "comfyui"
COUNT = 3


@pytest.fixture
def host(monkeypatch):
    made = Host()
    for name, module in modules(made).items():
        monkeypatch.setitem(sys.modules, name, module)
    fast = vidstyle.Settings(
        initial_steps=3, steps=1, backward_steps=0, fast_style_layers=True, patch_weight=0
    )
    monkeypatch.setattr(vidstyle, "PRESETS", {"standard": fast})
    return made


@pytest.fixture
def nodes(host):
    """Identifier -> class of each node, found as ComfyUI finds them."""
    path = FOLDER / "__init__.py"
    spec = importlib.util.spec_from_file_location("custom_nodes_vidstyle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    assert isinstance(extension, sys.modules["comfy_api.latest"].ComfyExtension)
    classes = asyncio.run(extension.get_node_list())
    return {each.define_schema().node_id: each for each in classes}


@pytest.fixture
def stylize(host, nodes):
    """Run the node for images."""
    return lambda **inputs: host.run(nodes["VidstyleStylizeImages"], style=STYLE, **inputs)


def batch(count):
    """(B, H, W, 3) floats from 0 to 1."""
    return torch.from_numpy(np.stack([scene(number / 5) for number in range(count)]) / 255).float()


STYLE = torch.from_numpy(stripes() / 255).float()[None]


def test_nodes_have_the_same_types_in_and_out(nodes):
    kinds = {
        name: ([each.io_type for each in schema.inputs], [each.io_type for each in schema.outputs])
        for name, schema in ((name, node.define_schema()) for name, node in nodes.items())
    }
    settings = ["COMBO", "FLOAT", "FLOAT", "FLOAT", "INT", "MASK"]
    assert kinds == {
        "VidstyleStylizeVideo": (["VIDEO", "IMAGE", *settings], ["VIDEO"]),
        "VidstyleStylizeImages": (["IMAGE", "IMAGE", *settings], ["IMAGE"]),
    }


def test_nodes_explain_every_setting_and_accept_its_limits(nodes):
    for node in nodes.values():
        inputs = {each.id: each for each in node.define_schema().inputs}
        assert all(each.tooltip for name, each in inputs.items() if hasattr(each, "default"))
        for name in ("strength", "style_scale"):
            for value in (inputs[name].min, inputs[name].max):
                vidstyle.Settings(**{name: value})
        vidstyle.Settings(working_size=inputs["working_size"].max)
        vidstyle.Settings(working_size=inputs["working_size"].step)


def test_video_node_keeps_audio_rate_and_size(host, nodes):
    audio, rate = {"waveform": torch.zeros(1, 1, 100), "sample_rate": 44100}, Fraction(24000, 1001)
    video = VideoFromComponents(VideoComponents(batch(COUNT), rate, audio, {"title": "sea"}))
    made = host.run(nodes["VidstyleStylizeVideo"], video=video, style=STYLE).get_components()
    assert (made.audio, made.frame_rate, made.metadata) == (audio, rate, {"title": "sea"})
    assert made.images.shape == (COUNT, 48, 64, 3) and made.images.dtype == torch.float32
    assert made.images.min() >= 0 and made.images.max() <= 1
    assert (made.images - batch(COUNT)).abs().mean() > 0.02
    assert host.bar[0] == (0, COUNT) and host.bar[-1] == (COUNT, COUNT)
    assert [(kind, picture.size) for kind, picture, _ in host.previews] == [("JPEG", (64, 48))] * 3


def test_images_node_equals_the_package(stylize):
    images = [image.astype(np.uint16) * 257 for image in map(scene, (0, 0.2, 0.4))]
    style = stripes().astype(np.uint16) * 257
    expected = vidstyle.stylize_video(
        images, style, preset=vidstyle.PRESETS["standard"], device="cpu", strength=0.5
    )
    made = stylize(images=batch(3), strength=0.5)
    assert np.array_equal(np.round(made.numpy() * 65535), np.stack(list(expected)))


def test_images_node_counts_a_single_image_by_iterations(host, stylize):
    assert stylize(images=batch(1)).shape == (1, 48, 64, 3)
    assert host.bar == [(1, 3), (2, 3), (3, 3), (3, 3)] and len(host.previews) == 1


@pytest.mark.parametrize("masks", [1, COUNT])
def test_images_node_leaves_what_is_black_in_the_mask(stylize, masks):
    mask = torch.zeros(masks, 24, 32)
    mask[:, :, :16] = 1
    change = (stylize(images=batch(COUNT), mask=mask) - batch(COUNT)).abs().amax((0, 1, 3))
    assert change[:30].min() > 0.02
    assert change[34:].max() < 1e-4  # the rounding to 16 bits


def test_images_node_takes_a_mask_without_a_batch(stylize):
    mask = torch.zeros(24, 32)
    mask[:, :16] = 1
    expected = stylize(images=batch(COUNT), mask=mask[None])
    assert torch.equal(stylize(images=batch(COUNT), mask=mask), expected)


def test_images_node_refuses_another_number_of_masks(stylize):
    with pytest.raises(ValueError, match="there are 2 masks for 3 images"):
        stylize(images=batch(3), mask=torch.ones(2, 48, 64))


def test_images_node_takes_alpha_and_values_out_of_range(stylize):
    images = torch.cat([batch(2) * 3 - 1, torch.ones(2, 48, 64, 1)], -1)
    assert stylize(images=images).shape == (2, 48, 64, 4)


def test_content_factor_multiplies_the_weight_of_the_preset(stylize, monkeypatch):
    given = []
    video = vidstyle.stylize_video
    monkeypatch.setattr(
        vidstyle, "stylize_video", lambda *a, **k: given.append(k) or video(*a, **k)
    )
    stylize(images=batch(2), content_factor=2.0, working_size=48)
    assert given[0]["content_weight"] == 2 * vidstyle.Settings().content_weight
    assert given[0]["working_size"] == 48


@pytest.mark.parametrize("count", [1, COUNT])
def test_cancelling_ends_the_work_at_the_next_iteration(host, stylize, count):
    host.cancel_at = 2
    with pytest.raises(InterruptProcessingException):
        stylize(images=batch(count))
    assert len(host.bar) == 2 and not host.previews


def test_nodes_compute_on_the_cpu_where_the_device_is_unknown(host, stylize):
    host.device = torch.device("xpu")
    assert stylize(images=batch(1)).shape == (1, 48, 64, 3)


def test_example_workflow_fits_the_nodes(nodes):
    workflow = json.loads((FOLDER / "example_workflows" / "stylise-video.json").read_text())
    by_id = {each["id"]: each for each in workflow["nodes"]}
    node = next(each for each in by_id.values() if each["type"] in nodes)
    inputs = nodes[node["type"]].define_schema().inputs
    assert {each["name"] for each in node["inputs"]} == {each.id for each in inputs}
    values = dict(zip([e.id for e in inputs if hasattr(e, "default")], node["widgets_values"]))
    assert values.pop("preset") in ("draft", "standard", "final", "still")
    limits = {each.id: each for each in inputs}
    assert all(limits[name].min <= value <= limits[name].max for name, value in values.items())
    for number, source, slot, target, place, kind in workflow["links"]:
        assert number in by_id[source]["outputs"][slot]["links"]
        assert by_id[target]["inputs"][place]["link"] == number
        assert by_id[source]["outputs"][slot]["type"] == kind


def test_registry_metadata_has_the_version_of_the_package():
    metadata = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert metadata["project"]["version"] == vidstyle.__version__
    assert metadata["tool"]["comfy"]["PublisherId"]
