"""Renders on two Ray nodes: the packets of one machine's render, whatever fails."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import ray
from conftest import QUICK_FLAGS, SECONDS, stripes, until
from ray.cluster_utils import Cluster
from test_ranges import packets_of, three_shots

import vidstyle as vs
from vidstyle import InputError, VidstyleError
from vidstyle.distributed import sources, tasks
from vidstyle.distributed.cluster import RayWorkers, Resources
from vidstyle.job import RenderJob
from vidstyle.runtime import limits

# The limits of a container mislead the monitor.
os.environ.update({"RAY_memory_monitor_refresh_ms": "0", "RAY_USAGE_STATS_ENABLED": "0"})

SLOW = ["--initial-steps", "80"]
"""Flags with which a shot takes seconds, time enough to kill what stylises it."""

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of a head with one core and a pretended GPU."""
    made = Cluster(
        initialize_head=True, head_node_args={**NODE, "num_gpus": 1, "include_dashboard": False}
    )
    ray.init(made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def second_node(nodes):
    node = nodes.add_node(**NODE)
    nodes.wait_for_nodes()
    return node


@pytest.fixture(scope="module")
def shots_clip(tmp_path_factory):
    return three_shots(tmp_path_factory.mktemp("clip") / "in.mp4", sounds=1)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The packets of the last render without Ray, as the tests of this file share them."""
    return {}


@pytest.fixture
def one_render(vidstyle, shots_clip, style_file, monkeypatch, expected):
    """The packets of a render without Ray, in one thread."""

    def render():
        if not expected:
            monkeypatch.setattr(limits, "_threads", 1)
            assert vidstyle("render", shots_clip, style_file, "-o", "one.mp4", *SLOW)[0] == 0
            expected.update(packets_of("one.mp4"))
        return expected

    return render


@pytest.fixture
def on_nodes(vidstyle, nodes, second_node, shots_clip, style_file):
    """Render the clip on the cluster; returns as ``vidstyle`` does."""

    def run(*more, clip=shots_clip):
        flags = "-o", "ray.mp4", *SLOW, "--gpus-per-worker", "0", "--ray", "auto", *more
        return vidstyle("render", clip, style_file, *flags)

    return run


def in_thread(work):
    """Run a function beside the test."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


def shots_begun():
    return Path("ray.part/shots.json").exists()


def shots_done(folder=Path("ray.part")):
    try:
        entries = json.loads((folder / "shots.json").read_text())["shots"]
    except (OSError, ValueError):
        return 0
    return sum(entry["state"] == "done" for entry in entries)


def worker_processes():
    """Ids of this test's processes that are doing a task."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::_perform"):
                raylet = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                parent = int(Path(f"/proc/{raylet}/stat").read_text().rpartition(")")[2].split()[1])
                if parent == os.getpid():
                    found.append(int(folder.name))
        except OSError:
            continue
    return found


def _all(found, count):
    """What was found, if it is so many."""
    return found if len(found) == count else []


def signal_to(process, number):
    with suppress(ProcessLookupError):
        os.kill(process, number)


def test_render_on_two_nodes_makes_the_packets_of_one_render(on_nodes, one_render):
    code, _, err = on_nodes()
    assert code == 0 and "100 frames in 3 shots" in err and "2 workers with 1 CPU" in err
    assert packets_of("ray.mp4") == one_render()
    assert not Path("ray.part").exists()


def test_render_uses_pretended_gpus_and_refuses_what_no_node_has(on_nodes):
    quick = "--initial-steps", "3", "-y"
    code, _, err = on_nodes(*quick, "--gpus-per-worker", "0.5", "--cpus-per-worker", "1")
    assert code == 0 and "1 workers with 1 CPU and 0.5 GPUs" in err
    code, _, err = on_nodes(*quick, "--gpus-per-worker", "2")
    assert code == 1 and "has 1 CPU and 1 GPU" in err and "--gpus-per-worker" in err
    code, _, err = on_nodes(*quick, "--workers", "3")
    assert code == 1 and "room for 2" in err and "--workers 2" in err
    code, _, err = on_nodes(*quick, "--cpus-per-worker", "2")
    assert code == 1 and "room for 0" in err
    code, _, err = on_nodes(*quick, "--ray", "127.0.0.1:1")
    assert code == 1 and "no Ray cluster at 127.0.0.1:1" in err


def test_ray_workers_send_no_source_that_was_changed(tmp_path, clip):
    job = RenderJob(clip, tmp_path / "out.mp4")
    described = tasks.Clip.of(job, None)
    workers = RayWorkers.__new__(RayWorkers)  # without a cluster
    workers._sources = {}
    clip.write_bytes(b"another content")
    with pytest.raises(InputError, match=r"clip.mp4 was changed.*overwrite=True"):
        workers.send_source(described, clip)
    clip.unlink()
    with pytest.raises(InputError, match=r"clip.mp4 was changed.*overwrite=True"):
        workers.send_source(described, clip)


def test_render_does_the_shot_of_a_killed_worker_again(on_nodes, one_render):
    killer = in_thread(
        lambda: os.kill(until(lambda: shots_begun() and worker_processes())[0], signal.SIGKILL)
    )
    code, _, err = on_nodes()
    killer.join()
    assert code == 0 and "trying again" in err
    assert packets_of("ray.mp4") == one_render()


def test_render_does_the_shot_of_a_lost_node_again(on_nodes, nodes, one_render):
    lost = nodes.add_node(**NODE)
    nodes.wait_for_nodes()

    def lose():
        until(shots_begun)
        workers = until(lambda: _all(worker_processes(), 3))
        for worker in workers:  # none ends its shot before the node is lost
            signal_to(worker, signal.SIGSTOP)
        nodes.remove_node(lost, allow_graceful=False)
        for worker in workers:
            signal_to(worker, signal.SIGCONT)

    killer = in_thread(lose)
    code, _, err = on_nodes()
    killer.join()
    assert code == 0 and "3 workers" in err and "trying again" in err
    assert packets_of("ray.mp4") == one_render()


def test_render_sends_a_source_and_avoids_a_node_that_cannot_store_it(
    on_nodes, nodes, one_render, shots_clip, tmp_path
):
    full = tmp_path / "full"
    full.mkdir()
    (full / sources.source_folder().name).write_text("a file, in which nothing can be stored")
    node = nodes.add_node(**NODE, env_vars={"TMPDIR": str(full)})
    nodes.wait_for_nodes()
    try:
        with shots_clip.open("rb") as file:  # another file, or none, for every other process
            code, _, err = on_nodes(clip=f"/proc/self/fd/{file.fileno()}")
    finally:
        nodes.remove_node(node)
    assert code == 0 and "is sent to the workers" in err
    assert "free some space there; trying again" in err
    assert packets_of("ray.mp4")[0] == one_render()[0]
    assert not list(sources.source_folder().glob("*"))


def test_batch_on_nodes_renders_clips_and_images_and_names_what_failed(
    vidstyle, nodes, second_node, clip, picture_file, style_file
):
    broken = clip.with_name("broken.mp4")
    broken.write_bytes(b"no clip")
    arguments = clip, picture_file, broken, "--style", style_file, "-o", "out"
    flags = "--ray", "auto", "--gpus-per-worker", "0"
    code, _, err = vidstyle("render", *arguments, *flags)
    assert code == 1 and "1 of 3 failed" in err and "broken.mp4" in err
    assert sorted(path.name for path in Path("out").iterdir()) == ["clip.mp4", "picture.png"]
    assert vidstyle("render", picture_file, style_file, "-o", "one.png")[0] == 0
    assert np.array_equal(cv2.imread("out/picture.png"), cv2.imread("one.png"))
    code, _, err = vidstyle("render", *arguments[:2], *arguments[3:], *flags, "--skip-existing")
    assert code == 0 and "2 of 2 outputs exist" in err


def test_api_render_on_nodes_splits_a_long_shot(nodes, second_node, shots_clip, features, tmp_path):
    keywords = {"features": features, "device": "cpu", "initial_steps": 3, "steps": 1}
    keywords |= {"working_size": 64, "patch_weight": 0.0, "progress": False, "ray": "auto"}
    keywords |= {"gpus_per_worker": 0, "split": 20, "content_layers": ("relu2_1",)}
    output = tmp_path / "out.mp4"
    made = vs.render(shots_clip, stripes(), output, **keywords, style_layers=("relu1_1",))
    assert made == output and len(packets_of(output)[0]) == 100
    with pytest.raises(ValueError, match="split"):
        vs.render(shots_clip, stripes(), tmp_path / "o.mp4", **{**keywords, "split": "frames"})


def test_workers_of_another_version_are_refused(nodes, second_node, features, style, monkeypatch):
    from vidstyle import Stylizer

    monkeypatch.setattr(tasks, "versions", lambda: {**here, "torch": "1.0"})
    recipe = tasks.Recipe.of(Stylizer(features, style), "cpu", 1)
    with pytest.raises(VidstyleError, match=r"has torch .*, and the driver has 1.0: install"):
        RayWorkers(recipe, Resources(1, 0))


here = tasks.versions()


def started(clip, style_file, features_file, *more):
    """A render on a Ray of its own, in another process."""
    flags = [*QUICK_FLAGS, "--features", features_file, *SLOW, "-o", "ray.mp4", *more]
    command = [sys.executable, "-m", "vidstyle", "render", clip, style_file, *flags]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in command], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_killed_driver_is_resumed_without_ray(
    vidstyle, shots_clip, style_file, features_file, one_render
):
    process = started(shots_clip, style_file, features_file, "--ray", "--workers", "1")
    until(shots_done)
    process.kill()
    process.communicate(timeout=SECONDS)
    done = shots_done()
    assert 1 <= done < 3
    code, _, err = vidstyle("render", shots_clip, style_file, "-o", "ray.mp4", *SLOW, "--resume")
    assert code == 0 and "resumed after" in err
    assert packets_of("ray.mp4") == one_render()


def test_interrupted_render_keeps_the_running_shots(
    shots_clip, style_file, features_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    process = started(shots_clip, style_file, features_file, "--ray", "--workers", "1")
    until(shots_done)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130 and "--resume resumes it, with or without --ray" in err
    assert shots_done() in (1, 2)  # the second may not have begun
    frames = len(packets_of("ray.part.mp4")[0]) if Path("ray.part.mp4").exists() else 0
    assert frames in (0, 30, 75)  # the shots before the first that is missing
