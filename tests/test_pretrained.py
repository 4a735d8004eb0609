"""Weights of VGG-19 and RAFT: download, cache, and files of the user."""

import errno
import hashlib
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_vgg_state, scene
from torchvision.models import VGG19_Weights

from vidstyle import FeaturesError, load_features, load_flow
from vidstyle.features import pretrained
from vidstyle.features.network import VGG16, VGG19
from vidstyle.features.pretrained import vgg_cache, vgg_weights


@pytest.fixture(scope="session")
def vgg19_state(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(random_vgg_state(VGG19), path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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


def test_load_features_cuts_vgg19_from_a_state_dict(vgg19_state):
    features = load_features("vgg19", "cpu", vgg19_state)
    state = torch.load(vgg19_state, weights_only=True)
    assert torch.equal(features.network.conv4_2.weight, state["features.21.weight"])
    assert features.network.layers[-1] == "relu5_1"
    bundled = load_features("bundled", "cpu")
    for of_vgg, predicted in (
        (features.content_layers, bundled.content_layers),
        (features.style_layers, bundled.style_layers),
        (features.match_layers, bundled.match_layers),
    ):
        assert of_vgg == {layer.removeprefix("vgg."): part for layer, part in predicted.items()}


def test_load_features_cuts_vgg16_from_a_state_dict(tmp_path):
    state = random_vgg_state(VGG16)
    torch.save(state, tmp_path / "vgg16.pth")
    features = load_features("vgg16", "cpu", tmp_path / "vgg16.pth")
    assert torch.equal(features.network.conv4_2.weight, state["features.19.weight"])
    assert features.network.layers[-1] == "relu5_1"
    with pytest.raises(FeaturesError, match="not torchvision's VGG-19: it has 13 convolutions"):
        load_features("vgg19", "cpu", tmp_path / "vgg16.pth")


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
    assert vgg_cache("vgg19").stat().st_size < 60e6  # 52 MB, not the 548 of the whole
    vgg_cache("vgg19").write_bytes(b"damaged")
    load_features("vgg19", "cpu")
    assert len(downloads) == 2


def test_load_features_checks_the_hash_of_a_download(published, vgg19_state, tmp_path, capsys):
    server = published()
    features = load_features("vgg19", "cpu")
    assert torch.equal(
        features.network.conv1_1.bias, torch.load(vgg19_state, weights_only=True)["features.0.bias"]
    )
    load_features("vgg19", "cpu")
    assert server.requests == 1
    assert left_behind(tmp_path) == [vgg_cache("vgg19").name]
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
        one, other = pool.map(lambda _: vgg_weights("vgg19", None), range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert left_behind(tmp_path) == [vgg_cache("vgg19").name]
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
    assert load_flow("none", cpu) is None
    assert load_flow("dis", cpu) is not None and load_flow("match", cpu) is not None
    with pytest.raises(ValueError, match="unknown flow"):
        load_flow("lucas", cpu)
    with pytest.raises(ValueError, match="flow='raft'"):
        load_flow("dis", cpu, "raft.pth")
