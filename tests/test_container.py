"""What is opened: FFmpeg's reasons for failures, and files and addresses that give no answer."""

import gc
import os
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import SECONDS, write_clip

from vidstyle import InputError, OutputError, VideoFile, open_sink, open_source
from vidstyle.io import container
from vidstyle.io.checkpoints import Checkpoint
from vidstyle.io.files import check_writable
from vidstyle.io.images import read_image

TASKS = Path("/proc/self/task")


def decoder_threads():
    """The names of FFmpeg's decoding threads in this process."""
    names = [name.read_text().strip() for name in TASKS.glob("*/comm")]
    return [name for name in names if name.startswith("av:") and ":df" in name]


@pytest.fixture(autouse=True)
def no_decoder_is_left():
    """Whatever tests before these did not close goes with the last reference to it."""
    gc.collect()
    assert container.codec_threads.open == 0


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_text("no clip")
    return path


def test_open_input_gives_ffmpegs_reason_while_no_decoder_is_open(broken, clip):
    with pytest.raises(InputError, match="moov atom not found"):
        VideoFile(broken)
    with (
        VideoFile(clip),
        pytest.raises(InputError, match=r"read \(Invalid data found when processing input\)"),
    ):
        VideoFile(broken)
    with pytest.raises(InputError, match="moov atom not found"):
        VideoFile(broken)


def test_reasons_keeps_decoders_from_opening(clip):
    opened = []
    opening = threading.Thread(target=lambda: opened.append(VideoFile(clip)))
    with container.reasons():
        opening.start()
        time.sleep(0.2)
        assert not opened and av.logging.get_level() == av.logging.ERROR
    opening.join(SECONDS)
    with opened[0], container.reasons():
        assert av.logging.get_level() is None


def test_videofile_that_is_dropped_unclosed_lets_reasons_be_heard_again(clip, broken):
    assert len(list(open_source(clip))) > 1
    gc.collect()
    with pytest.raises(InputError, match="moov atom not found"):
        VideoFile(broken)


@pytest.mark.skipif(not TASKS.exists(), reason="this system does not list threads by name")
def test_reasons_never_turns_the_log_on_beside_a_decoder(clip, broken, tmp_path, monkeypatch):
    """From the first look at a clip to its last segment and its sound."""
    beside, set_level = [], av.logging.set_level

    def watched(level):
        if level is not None:
            beside.append(decoder_threads())
        set_level(level)

    monkeypatch.setattr(av.logging, "set_level", watched)
    with open_source(clip) as source, open_sink(tmp_path / "out.mp4", source, job={}) as sink:
        for number, frame in enumerate(source):
            sink.send(frame)
            sink.checkpoint(Checkpoint(number, 1, {}))
            with pytest.raises(InputError):
                VideoFile(broken)
    with pytest.raises(InputError):
        VideoFile(broken)
    assert len(beside) > 1 and not any(beside)


@pytest.mark.skipif(not TASKS.exists(), reason="this system does not list threads by name")
def test_videofile_ends_its_threads_when_it_is_closed(clip):
    source = VideoFile(clip)
    assert decoder_threads()
    source.close()
    assert not decoder_threads()


@contextmanager
def server(data=b""):
    """An address that answers with some bytes and then falls silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:

        def serve():
            while True:
                try:
                    connection = stack.enter_context(listening.accept()[0])
                except OSError:
                    return
                connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtmp", "tcp"])
def test_open_input_does_not_wait_for_ever_for_an_address(scheme, monkeypatch):
    monkeypatch.setattr(container, "ADDRESS_TIMEOUT_SECONDS", 0.3)
    with (
        server() as address,
        pytest.raises(InputError, match=r"gave no answer within 0\.3 s: check the address"),
    ):
        VideoFile(f"{scheme}://{address}/clip")


def test_videofile_does_not_wait_for_ever_for_the_next_packet(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "ADDRESS_TIMEOUT_SECONDS", 1.0)
    whole = write_clip(tmp_path / "in.ts", count=60, rate=Fraction(25)).read_bytes()
    head = b"HTTP/1.0 200 OK\r\n\r\n"
    with (
        server(head + whole[: len(whole) * 3 // 4]) as address,
        pytest.raises(InputError, match="gave no answer within 1 s"),
        VideoFile(f"http://{address}/in.ts") as source,
    ):
        list(source)


def test_videofile_stays_open_while_a_thread_reads_it(clip, caplog):
    source, begun, gone = VideoFile(clip), threading.Event(), threading.Event()

    def unanswered():
        begun.set()
        gone.wait(SECONDS)
        yield None

    source._frames = unanswered()
    reading = threading.Thread(target=next, args=[source._frames])
    reading.start()
    assert begun.wait(SECONDS)
    source.close()
    assert "stays open" in caplog.text
    gone.set()
    reading.join(SECONDS)
    source.close()


@pytest.mark.parametrize("ending", ["mp3", "gif"])
def test_open_input_does_not_look_for_ever_for_a_beginning(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(container, "FILE_TIMEOUT_SECONDS", 0.3)
    path = tmp_path / f"zeros.{ending}"
    with path.open("wb") as file:
        file.truncate(1 << 38)  # takes no room
    with pytest.raises(InputError, match=r"no readable header within 0\.3 s"):
        VideoFile(path)


@pytest.fixture(params=["pipe", "device", "directory"])
def endless(request, tmp_path):
    path = tmp_path / "endless"
    {
        "pipe": os.mkfifo,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "directory": Path.mkdir,
    }[request.param](path)
    return path


@pytest.mark.parametrize("read", [VideoFile, read_image])
def test_videofile_and_read_image_refuse_what_is_no_ordinary_file(read, endless):
    with pytest.raises(InputError, match=r"is not an ordinary file|is a directory"):
        read(endless)


def test_check_writable_refuses_pipes_devices_and_directories(endless):
    with pytest.raises(OutputError, match=r"is not an ordinary file|is a directory"):
        check_writable(endless, overwrite=True)


def test_open_source_and_open_sink_name_closed_standard_streams(clip, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(InputError, match="standard input is closed"):
        open_source("-")
    with open_source(clip) as source, pytest.raises(OutputError, match="standard output is closed"):
        open_sink("-", source)


@pytest.mark.parametrize("platform, deletes_itself", [("linux", True), ("win32", False)])
def test_copy_of_standard_input_can_be_opened_again(monkeypatch, platform, deletes_itself):
    """On Windows a temporary file that deletes itself cannot."""
    made, make = [], container.NamedTemporaryFile
    monkeypatch.setattr(
        container, "NamedTemporaryFile", lambda **options: made.append(options) or make(**options)
    )
    pipe = container.StandardInput()
    with monkeypatch.context() as patched:
        patched.setattr("sys.platform", platform)
        pipe.keep_copy()
    assert made[0].get("delete", True) == deletes_itself
    path = pipe.copy
    assert path.exists()
    pipe.drop_copy()
    pipe.drop_copy()
    assert not path.exists() and pipe.copy is None
