"""The command line as a process: pipes, signals and standard streams."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import QUICK_FLAGS, SECONDS, scene, sound_of, times_of, until, write_clip


def piped(features_file, folder, *arguments, data=None):
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        *QUICK_FLAGS,
        "--features",
        features_file,
        *arguments,
    ]
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        input=data,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.mark.parametrize("container", ["matroska", "nut", "yuv4mpegpipe"])
def test_render_reads_and_writes_pipes(features_file, tmp_path, style_file, container):
    codec = {"yuv4mpegpipe": "wrapped_avframe"}.get(container, "libx264")
    path = tmp_path / "in"
    with av.open(str(path), "w", format=container) as output:
        video = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(scene(number / 25), "rgb24").reformat(
                format="yuv420p"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "-", "-f", container, data=path.read_bytes()
    )
    assert result.returncode == 0 and b"5 frames in" in result.stderr
    (tmp_path / "out").write_bytes(result.stdout)
    assert times_of(tmp_path / "out") == [Fraction(number, 25) for number in range(5)]


def test_render_pipes_yuv4mpeg_at_the_frame_rate_of_a_clip(features_file, tmp_path, style_file):
    path = write_clip(tmp_path / "in.mp4", count=3, rate=Fraction(25))
    result = piped(features_file, tmp_path, path, style_file, "-o", "-", "-f", "yuv4mpegpipe")
    assert result.returncode == 0
    assert result.stdout.split(b"\n")[0].startswith(b"YUV4MPEG2 W64 H48 F25:1 ")


def test_render_writes_audio_to_a_pipe(features_file, tmp_path, style_file):
    path = write_clip(tmp_path / "in.mp4", count=30, rate=Fraction(25), sounds=1)
    result = piped(features_file, tmp_path, path, style_file, "-o", "-", "-ss", "0.2")
    assert result.returncode == 0
    (tmp_path / "out.mkv").write_bytes(result.stdout)
    part = [data for time, data in sound_of(path) if time >= Fraction(1, 5)]
    assert [data for _, data in sound_of(tmp_path / "out.mkv")] == part
    assert times_of(tmp_path / "out.mkv") == [Fraction(number, 25) for number in range(25)]


def test_render_keeps_audio_of_a_pipe(features_file, tmp_path, style_file):
    path = write_clip(tmp_path / "in.mkv", count=10, rate=Fraction(25), sounds=1)
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=path.read_bytes()
    )
    assert result.returncode == 0
    assert [data for _, data in sound_of(tmp_path / "out.mp4")] == [
        data for _, data in sound_of(path)
    ]


def test_render_interrupted_stops_waiting_for_a_pipe(features_file, tmp_path, style_file):
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        "-",
        style_file,
        "-o",
        "out.mp4",
        "--features",
        features_file,
    ]
    before = signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a shell's background job ignores SIGINT, and so would what it starts
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    until(lambda: list(temporary.glob("vidstyle-*")))
    time.sleep(0.2)  # until it waits
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=SECONDS) == 130
    assert b"Traceback" not in process.stderr.read() and not list(temporary.glob("vidstyle-*"))
    process.stdin.close()


def test_render_refuses_a_pipe_without_a_clip(features_file, tmp_path, style_file):
    long = write_clip(tmp_path / "long.mp4", count=300, size=(128, 96), sounds=1)
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=b"no clip\n" * 1000
    )
    assert result.returncode == 1 and result.stderr.startswith(
        b"vidstyle: standard input is not a clip"
    )
    result = piped(
        features_file, tmp_path, "-", style_file, "-o", "out.mp4", data=long.read_bytes()
    )
    assert result.returncode == 1 and b"pipe Matroska, NUT or YUV4MPEG" in result.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_render_does_not_write_over_the_file_that_standard_input_reads(
    features_file, tmp_path, style_file
):
    path = write_clip(tmp_path / "in.mkv", count=2)
    before = path.read_bytes()
    with path.open("rb") as stdin:
        command = [
            sys.executable,
            "-m",
            "vidstyle",
            "render",
            "-",
            style_file,
            "-o",
            "in.mkv",
            "-y",
            *QUICK_FLAGS,
        ]
        result = subprocess.run(
            list(map(str, command)),
            cwd=tmp_path,
            stdin=stdin,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    assert result.returncode == 1 and b"would replace standard input" in result.stderr
    assert path.read_bytes() == before


PATIENT = f"""
from vidstyle.runtime import interrupts
interrupts.REPEAT_SECONDS = {SECONDS}
from vidstyle.__main__ import program
program()
"""
"""The command, for which signals count as one for long: a busy machine sends them late."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_render_interrupted_leaves_a_playable_part_and_names_it(
    tmp_path, features_file, style_file, number
):
    path = write_clip(tmp_path / "in.mp4", count=600, rate=Fraction(25), sounds=1)
    render = [sys.executable, "-c", PATIENT, "render", *QUICK_FLAGS, "--features", features_file]
    command = [*render, path, style_file, "-o", "out.mp4"]
    before = signal.signal(
        number, signal.SIG_DFL
    )  # a shell's background job ignores SIGINT, and so would what it starts
    process = subprocess.Popen(
        [str(word) for word in command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    signal.signal(number, before)
    for line in process.stderr:
        if line.startswith("frame ") and int(line.split()[1].split("/")[0]) > 0:
            break
    process.send_signal(number)
    sent = time.monotonic()
    for _ in range(3):  # an impatient user
        time.sleep(0.05)
        process.send_signal(number)
    err = process.stderr.read()
    assert process.wait(timeout=SECONDS) == 130
    assert (
        time.monotonic() - sent < SECONDS
    )  # finishing takes well under a second; a hang would take for ever
    assert "out.part.mp4" in err and "interrupted" in err and "Traceback" not in err
    painted = times_of(tmp_path / "out.part.mp4")
    assert 0 < len(painted) < 600 and painted == [Fraction(n, 25) for n in range(len(painted))]
    assert sound_of(tmp_path / "out.part.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_program_names_a_library_that_opencv_lacks(tmp_path, picture_file, style_file):
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    command = [
        sys.executable,
        "-m",
        "vidstyle",
        "render",
        picture_file,
        style_file,
        "-o",
        "out.png",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (
        result.returncode == 1
        and "apt-get install libgl1" in result.stderr
        and "Traceback" not in result.stderr
    )


def run_in_shell(words, **given):
    """Run Python code in a shell, which may close or redirect its streams."""
    command = f"{sys.executable} {words}"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=SECONDS, check=False, **given
    )


def test_reserve_standard_streams_keeps_their_places_free(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from vidstyle.cli.main import reserve_standard_streams\n"
        "reserve_standard_streams()\n"
        "print('said', file=__import__('sys').stderr)\n"
        "os._exit(os.open('file', os.O_WRONLY | os.O_CREAT))\n"
    )
    result = run_in_shell(f"{script} <&- >&- 2>&-", cwd=tmp_path)
    assert result.returncode > 2 and (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no device that is always full"
)
def test_info_is_one_line_where_it_cannot_be_written():
    result = run_in_shell("-m vidstyle info > /dev/full")
    assert result.returncode == 1
    assert (
        result.stderr
        == "vidstyle: cannot write output: no space is left; free some, or choose another place\n"
    )
