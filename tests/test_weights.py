import errno
import hashlib
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, scene, tiny_network
from safetensors.torch import save_file
from torchvision.models import VGG19_Weights

from vidstyle import FeaturesError, load_features, load_flow
from vidstyle.features import pretrained, weights
from vidstyle.features.network import VGG19, Network
from vidstyle.features.pretrained import vgg19_cache, vgg19_weights
from vidstyle.features.weights import read_network, write_network
from vidstyle.io.tensor_file import read_tensors, write_tensors
from vidstyle.training import Classifier


@pytest.fixture(scope="session")
def vgg19_state(tmp_path_factory):
    """Random weights in torchvision's own format, without the fully connected layers."""
    torch.manual_seed(0)
    state, number, width = {}, 0, 3
    for channels, count in zip(VGG19.channels, VGG19.convolutions, strict=True):
        for _ in range(count):
            state[f"features.{number}.weight"] = torch.randn(channels, width, 3, 3) * 0.02
            state[f"features.{number}.bias"] = torch.randn(channels) * 0.02
            width, number = channels, number + 2
        number += 1
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_read_network_returns_what_write_network_wrote(tmp_path):
    network = tiny_network()
    write_network(tmp_path / "net.safetensors", network.state_dict(), TINY)
    read = read_network(tmp_path / "net.safetensors")
    assert read.shape == TINY
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


def test_classifier_folded_weights_agree_with_batch_normalisation():
    torch.manual_seed(0)
    classifier = Classifier(TINY, 3)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    classifier.eval()
    network = Network(TINY)
    network.load_state_dict(classifier.folded())
    picture = torch.rand(1, 3, 64, 64)
    expected = classifier.blocks[:3]((picture - 0.45) / 0.25)
    # training pads with zeros, painting by reflection: compare away from the border
    torch.testing.assert_close(
        network(picture, ["relu1_1"])["relu1_1"][..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2]
    )


def test_load_features_cuts_vgg19_from_a_state_dict(vgg19_state):
    features = load_features("vgg19", "cpu", vgg19_state)
    state = torch.load(vgg19_state, weights_only=True)
    assert torch.equal(features.network.conv4_2.weight, state["features.21.weight"])
    assert features.network.layers[-1] == "relu5_1"
    assert features.content_layers == {"relu4_2": 1.0}


def test_load_features_downloads_vgg19_once(vgg19_state, monkeypatch):
    downloads = []
    state = torch.load(vgg19_state, weights_only=True)
    monkeypatch.setattr(
        pretrained, "_download", lambda name, published, remedy: downloads.append(name) or state
    )
    first = load_features("vgg19", "cpu")
    second = load_features("vgg19", "cpu")
    assert len(downloads) == 1
    assert torch.equal(first.network.conv5_1.weight, second.network.conv5_1.weight)
    assert vgg19_cache().stat().st_size < 60e6  # 52 MB, not the 548 of the whole
    vgg19_cache().write_bytes(b"damaged")
    load_features("vgg19", "cpu")
    assert len(downloads) == 2


class Server(ThreadingHTTPServer):
    """Serves one file under any name; ``sent`` bytes of it, if not all, as a connection that breaks
    would."""

    def __init__(self, data, sent=None):
        self.data, self.sent, self.requests = data, sent, 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.end_headers()
        self.wfile.write(self.server.data[: self.server.sent])

    def log_message(self, *args):
        pass


@pytest.fixture
def published(vgg19_state, tmp_path, monkeypatch):
    """``published(hash=..., sent=...)``: torchvision's VGG-19 is served from this machine, named
    with its hash or another."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    servers = []

    def publish(digest=None, sent=None):
        data = vgg19_state.read_bytes()
        server = Server(data, sent)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        digest = digest or hashlib.sha256(data).hexdigest()[:8]
        monkeypatch.setattr(
            VGG19_Weights.IMAGENET1K_V1.value,
            "url",
            f"http://127.0.0.1:{server.server_port}/vgg19-{digest}.pth",
        )
        return server

    yield publish
    for server in servers:
        server.shutdown()
        server.server_close()


def left_behind(tmp_path):
    return [
        path.name
        for folder in ("cache", "hub", "scratch")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    ]


def test_load_features_checks_the_hash_of_a_download(published, vgg19_state, tmp_path, capsys):
    server = published()
    features = load_features("vgg19", "cpu")
    assert torch.equal(
        features.network.conv1_1.bias, torch.load(vgg19_state, weights_only=True)["features.0.bias"]
    )
    load_features("vgg19", "cpu")
    assert server.requests == 1
    assert left_behind(tmp_path) == [vgg19_cache().name]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "broken", [{"digest": "0badf00d"}, {"sent": 70_000}], ids=["wrong hash", "connection lost"]
)
def test_load_features_reports_a_failed_download_and_leaves_no_file(published, tmp_path, broken):
    published(**broken)
    with pytest.raises(FeaturesError, match=r"invalid hash.*weights=FILE") as caught:
        load_features("vgg19", "cpu")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == []
    published()
    load_features("vgg19", "cpu")  # and the next try starts clean


def test_vgg19_weights_may_be_loaded_by_two_threads(published, tmp_path):
    published()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: vgg19_weights(None), range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert left_behind(tmp_path) == [vgg19_cache().name]
    load_features("vgg19", "cpu")


def test_load_features_works_without_a_cache_on_a_full_disk(published, tmp_path, monkeypatch):
    published()

    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    load_features("vgg19", "cpu")
    assert left_behind(tmp_path) == []


def test_load_features_uses_the_cache_of_torchvision(published, vgg19_state, tmp_path):
    server = published()
    had = (
        tmp_path
        / "hub"
        / "hub"
        / "checkpoints"
        / VGG19_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    )
    had.parent.mkdir(parents=True)
    had.write_bytes(vgg19_state.read_bytes())
    load_features("vgg19", "cpu")
    assert server.requests == 0


def test_load_features_names_a_remedy_without_a_network(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1.__class__, "get_state_dict", offline)
    with pytest.raises(FeaturesError, match="weights=FILE") as caught:
        load_features("vgg19", "cpu")
    assert "\n" not in str(caught.value) and "features='bundled'" in str(caught.value)


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
        (lambda path: None, "does not exist"),
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


@pytest.fixture(scope="module")
def raft_state(tmp_path_factory):
    """A state dict in torchvision's format, weights untrained."""
    from torchvision.models.optical_flow import raft_large

    path = tmp_path_factory.mktemp("raft") / "raft_large.pth"
    torch.save(raft_large().state_dict(), path)
    return path


def test_load_flow_raft_accepts_frames_of_any_size(raft_state):
    frames = [scene(time, size=(70, 50)) for time in (0.1, 0.0)]
    flow = load_flow("raft", torch.device("cpu"), raft_state)(
        *frames
    )  # untrained: shapes and padding are what is seen
    assert flow.shape == (50, 70, 2) and np.isfinite(flow).all()


def test_load_flow_raft_may_be_called_from_several_threads(raft_state, monkeypatch):
    """torchvision's keeps correlations in itself while it runs: one call at a time."""
    method, running = load_flow("raft", torch.device("cpu"), raft_state), []

    def network(frame, earlier):
        assert not running
        running.append(frame)
        time.sleep(0.02)  # time enough for another thread to come in
        running.pop()
        return [torch.zeros(1, 2, *frame.shape[-2:])]

    monkeypatch.setattr(method, "_network", network)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: method(scene(), scene()), range(3)))
    assert len(found) == 3


def test_load_flow_downloads_raft_once(raft_state, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    downloads, state = [], torch.load(raft_state, weights_only=True)
    monkeypatch.setattr(
        pretrained, "_download", lambda name, published, remedy: downloads.append(remedy) or state
    )
    for _ in range(2):
        load_flow("raft", torch.device("cpu"))
    assert len(downloads) == 1 and "flow_weights=" in downloads[0] and "flow='dis'" in downloads[0]


def test_load_flow_rejects_weights_of_another_network(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(FeaturesError, match="raft_large"):
        load_flow("raft", torch.device("cpu"), tmp_path / "other.pth")
    with pytest.raises(FeaturesError, match="does not exist"):
        load_flow("raft", torch.device("cpu"), tmp_path / "missing.pth")


def test_load_flow_by_name():
    cpu = torch.device("cpu")
    assert load_flow("none", cpu) is None and load_flow("dis", cpu) is not None
    with pytest.raises(ValueError, match="unknown flow"):
        load_flow("lucas", cpu)
    with pytest.raises(ValueError, match="flow='raft'"):
        load_flow("dis", cpu, "raft.pth")
