"""Files of feature networks: written, read, and refused."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import TINY, TINY_DISTILLED, tiny_network
from safetensors.torch import save_file

from vidstyle import FeaturesError, load_features
from vidstyle.features import weights
from vidstyle.features.network import Network
from vidstyle.features.weights import read_network, write_network
from vidstyle.io.tensor_file import read_tensors, write_tensors
from vidstyle.training.trunk import Trunk


@pytest.mark.parametrize("shape", [TINY, TINY_DISTILLED], ids=["plain", "heads"])
def test_read_network_returns_what_write_network_wrote(tmp_path, shape):
    network = tiny_network(shape=shape)
    write_network(tmp_path / "net.safetensors", network.state_dict(), shape)
    read = read_network(tmp_path / "net.safetensors")
    assert read.shape == shape
    picture = torch.rand(1, 3, 64, 64)
    for layer, x in network(picture, network.layers).items():
        torch.testing.assert_close(
            read(picture, [layer])[layer], x, atol=2e-2, rtol=2e-2
        )  # stored in half precision


def test_write_network_describes_the_network_in_metadata(tmp_path):
    write_network(tmp_path / "net.safetensors", tiny_network().state_dict(), TINY, "two pictures")
    metadata = read_tensors(tmp_path / "net.safetensors")[1]
    assert metadata["layers"].split() == list(TINY.layers) and metadata["card"] == "two pictures"
    assert json.loads(metadata["shape"])["mean"] == list(TINY.mean)
    assert len(metadata["sha256"]) == 64


@pytest.mark.parametrize("shape", [TINY, TINY_DISTILLED], ids=["plain", "half size"])
def test_trunk_folded_weights_agree_with_batch_normalisation(shape):
    torch.manual_seed(0)
    trunk = Trunk(shape)
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    trunk.eval()
    network = Network(replace(shape, heads=()))
    network.load_state_dict(trunk.folded())
    image = torch.rand(1, 3, 96, 128)
    layer = shape.last_relu(shape.first_block + 1)
    # training pads with zeros, stylisation by reflection: compare away from the border
    torch.testing.assert_close(
        network(image, [layer])[layer][..., 5:-5, 5:-5], trunk(image)[layer][..., 5:-5, 5:-5]
    )


def wrong_shape(path):
    save_file({"conv1_1.weight": torch.zeros(2, 2)}, path)


def other_safetensors(path):
    save_file({"x": torch.zeros(2)}, path, {"format": "something"})


def future_version(path):
    save_file({"x": torch.zeros(2)}, path, {"format": weights.FORMAT, "version": "99"})


def old_version(path):
    save_file({"x": torch.zeros(2)}, path, {"format": weights.FORMAT, "version": "1"})


def one_bit_changed(path):
    write_network(path, tiny_network().state_dict(), TINY)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut_short(path):
    write_network(path, tiny_network().state_dict(), TINY)
    path.write_bytes(path.read_bytes()[:-100])


def without_checksum(path):
    write_network(path, tiny_network().state_dict(), TINY)
    tensors, metadata = read_tensors(path)
    save_file(tensors, path, {name: value for name, value in metadata.items() if name != "sha256"})


def of_another_shape(path, channels=TINY.channels, convolutions=TINY.convolutions):
    shape = replace(TINY, channels=channels, convolutions=convolutions)
    described = {name: getattr(shape, name) for name in ("channels", "convolutions", "mean", "std")}
    metadata = {
        "format": weights.FORMAT,
        "version": weights.VERSION,
        "shape": json.dumps(described),
        "layers": "relu1_1",
    }
    write_tensors(path, tiny_network().state_dict(), metadata)


def memory_hog(path):
    of_another_shape(path, channels=(10**9,) * 5)


def endless(path):
    of_another_shape(path, convolutions=(10**12,) * 5)


def other_layers(path):
    of_another_shape(path)


def missing_layer(path):
    state = tiny_network().state_dict()
    state.pop("conv3_1.bias")
    write_network(path, state, TINY)


def malicious(path):
    torch.save({"x": __import__("os").system}, path)


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: None, "does not exist: use bundled, vgg16, vgg19, or a file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"nonsense" * 99), "cannot be read as safetensors"),
        (other_safetensors, "not a feature file"),
        (future_version, "version 99"),
        (old_version, "version 1"),
        (one_bit_changed, "SHA-256"),
        (cut_short, "cannot be read"),
        (without_checksum, "SHA-256"),
        (memory_hog, "not of its shape"),
        (endless, "convolutions"),
        (other_layers, "layers"),
        (missing_layer, "convolutions"),
        (malicious, "cannot be read as safetensors"),
    ],
)
def test_load_features_rejects_a_wrong_feature_file_in_one_line(tmp_path, make, reason):
    path = tmp_path / "features.safetensors"
    make(path)
    with pytest.raises(FeaturesError, match=reason) as caught:
        load_features(path, "cpu")
    assert "\n" not in str(caught.value)


def numbered_keys(path):
    torch.save({1: torch.zeros(2), "features.x.weight": torch.zeros(2)}, path)


def text_values(path):
    torch.save({"features.0.weight": "hello"}, path)


WRONG = [
    wrong_shape,
    malicious,
    numbered_keys,
    text_values,
    lambda path: path.write_text("hello"),
    lambda path: None,
]


@pytest.mark.parametrize("make", WRONG)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_load_features_rejects_wrong_vgg19_weights_in_one_line(tmp_path, make, name):
    make(tmp_path / name)
    with pytest.raises(FeaturesError) as caught:
        load_features("vgg19", "cpu", tmp_path / name)
    assert "\n" not in str(caught.value)


def test_load_features_rejects_weights_for_bundled_features(tmp_path):
    with pytest.raises(ValueError, match="vgg19"):
        load_features("bundled", "cpu", tmp_path / "w.pth")
