"""Stream output: colours at the receiver, reconnecting, secrets."""

import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread

import av
import cv2
import numpy as np
import pytest
from color_patches import PATCHES, color_patches, column_centers
from conftest import SECONDS, stripes, until, write_clip

from vidstyle import InputError, OutputError, cli
from vidstyle.io.files import name_in_file, without_secrets
from vidstyle.live.session import Session
from vidstyle.live.startup import SessionClosed
from vidstyle.live.stream_output import StreamOutput

SIZE = (320, 176)
LISTENING = {
    "udp": ("udp://127.0.0.1:{}", {}),
    "tcp": ("tcp://127.0.0.1:{}?listen=1", {}),
    "rtmp": ("rtmp://127.0.0.1:{}/live/secret", {"listen": "1"}),
    "rtsp": ("rtsp://127.0.0.1:{}/live", {"rtsp_flags": "listen", "listen_timeout": str(SECONDS)}),
}


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Listener(Thread):
    """A receiver that keeps the images of a stream until ``gone`` is set."""

    def __init__(self, scheme, port):
        super().__init__(daemon=True)
        address, options = LISTENING[scheme]
        # FFmpeg reads 20 frames by default to measure the frame rate: 3 s of an image that is
        # repeated.
        probe = {"probesize": "20000", "analyzeduration": "100000", "fpsprobesize": "0"}
        self._address, self._options = address.format(port), {**options, **probe}
        self.address = self._address.partition("?")[0]
        self.images, self.times, self.gone = [], [], Event()
        self.start()

    def run(self):
        try:
            with av.open(self._address, options=self._options) as stream:
                self.tags = stream.streams.video[0].codec_context
                for frame in stream.decode(video=0):
                    self.images.append(frame.to_ndarray(format="rgb24"))
                    self.times += (
                        [] if frame.time is None else [frame.time]
                    )  # RTSP reports the first one later
                    if self.gone.is_set():
                        return
        except av.error.FFmpegError:  # the sender has ended
            pass


@contextmanager
def streaming(address, image, rate=25):
    stream_output = StreamOutput(address, rate)
    stream_output.open(None)
    with closing(stream_output):
        stream_output.show(image)
        yield stream_output


@pytest.mark.parametrize("scheme", LISTENING)
def test_stream_output_keeps_colors(scheme):
    image = color_patches(SIZE)
    listener = Listener(scheme, free_port())
    with streaming(listener.address, image) as stream_output:
        until(lambda: len(listener.images) > 3)
        assert stream_output.sent > 3
        stream_output.show(np.full_like(image, 200))
        until(lambda: listener.images[-1].min() > 190)
    assert listener.images[0].shape == image.shape
    assert np.abs(column_centers(listener.images[0]) - PATCHES).max() <= 3  # limit of all outputs
    assert len(listener.times) > 2 and listener.times == sorted(set(listener.times))


@pytest.mark.parametrize("scheme", ["tcp", "rtmp"])
def test_stream_output_reconnects(scheme, caplog, monkeypatch):
    monkeypatch.setattr("vidstyle.live.output_device.RETRY_SECONDS", 0.05)
    caplog.set_level("INFO")
    port = free_port()
    address = LISTENING[scheme][0].format(port).partition("?")[0]
    with streaming(address, color_patches(SIZE)):
        until(lambda: "no stream: " in caplog.text)
        for _ in range(2):
            listener = Listener(scheme, port)
            until(lambda listener=listener: listener.images)
            listener.gone.set()
            listener.join(SECONDS)
    assert caplog.text.count("no stream: ") <= 3  # once per loss, not per attempt
    assert "secret" not in caplog.text
    assert "check the address, and that a receiver listens there" in caplog.text


def test_stream_output_close_aborts_silent_server(monkeypatch):
    monkeypatch.setattr("vidstyle.live.output_device.CLOSE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with streaming(
            f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/x", color_patches(SIZE)
        ) as stream_output:
            connection, _ = silent.accept()
        connection.close()
    assert stream_output.device is None and not stream_output._thread.is_alive()


def test_stream_output_opens_at_first_frame_with_even_sides():
    listener = Listener("udp", free_port())
    stream_output = StreamOutput(listener.address, 25)
    stream_output.open(None)
    with closing(stream_output):
        assert stream_output.device is None
        stream_output.show(np.full((49, 65, 3), 128, np.uint8))
        until(lambda: listener.images)
    assert listener.images[0].shape == (50, 66, 3)


def test_stream_output_invalid_address_hides_secrets():
    with pytest.raises(
        OutputError, match=r"srt://there:9000 is not a valid address for a stream: use rtmp"
    ) as caught:
        StreamOutput("srt://somebody:password@there:9000?passphrase=secret", 30)
    assert "password" not in str(caught.value) and "secret" not in str(caught.value)
    for address in (
        "udp://",
        "udp://there",
        "tcp://there/9000",
        "rtmp:///live/x",
        "udp://there:many",
    ):
        with pytest.raises(OutputError, match="lacks a host or a port"):
            StreamOutput(address, 30)
    with pytest.raises(ValueError, match="rate of a stream"):
        StreamOutput("udp://there:9000", 0)


@pytest.mark.parametrize(
    "address, shown",
    [
        ("rtmp://a.example/live2/abcd-efgh", "rtmp://a.example/live2/..."),
        ("rtmps://me:pass@a.example:443/app/key?more=1", "rtmps://a.example:443/app/..."),
        ("rtmp://a.example/live", "rtmp://a.example/live"),
        ("udp://10.0.0.2:9000?pkt_size=1316", "udp://10.0.0.2:9000"),
        ("rtsp://me:pass@a.example/cam", "rtsp://a.example/cam"),
        ("http:/user:secret@host/a.mp4", "http:/host/a.mp4"),  # as Path makes it
        ("http://user:secret@[bad/a.mp4", "http://[bad/a.mp4"),
    ],
)
def test_without_secrets_removes_passwords_and_keys(address, shown):
    assert without_secrets(address) == shown


def test_stream_output_key_is_not_in_process_list(monkeypatch):
    begun, popen = [], subprocess.Popen

    def noted(command, **given):
        begun.append(popen(command, **given))
        return begun[-1]

    monkeypatch.setattr("subprocess.Popen", noted)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        address = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/secret-key"
        with streaming(address, color_patches(SIZE)) as stream_output:
            connection, _ = silent.accept()  # the address has arrived
            (process,) = begun
            assert "secret-key" not in " ".join(process.args) and "secret-key" not in str(
                stream_output.device
            )
            if sys.platform.startswith("linux"):
                for file in ("cmdline", "environ"):
                    assert b"secret-key" not in Path(f"/proc/{process.pid}/{file}").read_bytes()
        connection.close()


def test_name_in_file_reads_address(tmp_path):
    file = tmp_path / "stream.txt"
    file.write_text("rtmp://a.example/live/key\nand more\n")
    assert (
        name_in_file(f"@{file}") == "rtmp://a.example/live/key"
        and name_in_file("out.mp4") == "out.mp4"
    )
    for text, reason in (
        ("\n", "empty first line"),
        (None, "cannot be read"),
        ("\x00\xff", "cannot be read"),
    ):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match=reason):
            name_in_file(f"@{file}")


def test_live_command_streams_and_records(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    listener, refresh = Listener("udp", free_port(socket.SOCK_DGRAM)), Session.refresh

    def refresh_until_received(session):
        refresh(session)
        if len(listener.images) > 3:
            raise SessionClosed

    monkeypatch.setattr(Session, "refresh", refresh_until_received)
    flags = [
        "--features",
        str(features_file),
        "--working-size",
        "64",
        "--no-window",
        "--device",
        "cpu",
        "--camera",
        "clip.mp4",
    ]
    Path("stream.txt").write_text(listener.address)
    assert (
        cli.main(
            [
                "live",
                "stripes.png",
                "--loop",
                "-t",
                str(SECONDS),
                *flags,
                "-o",
                "@stream.txt",
                "-o",
                "out.mp4",
            ]
        )
        == 0
    )
    assert len(listener.images) > 3
    err = capsys.readouterr().err
    assert f"stream {listener.address}: " in err and f"recorded: {tmp_path / 'out.mp4'}" in err
    for outputs, code, reason in (
        (["a.mp4", "b.mp4"], 2, "one recording at a time"),
        (["srt://there:9000"], 1, "is not a valid address for a stream"),
    ):
        words = [word for output in outputs for word in ("-o", output)]
        with (
            pytest.raises(SystemExit)
            if code == 2
            else closing(type("", (), {"close": lambda self: None})())
        ):
            assert cli.main(["live", "stripes.png", *flags, *words]) == code
        assert reason in capsys.readouterr().err
