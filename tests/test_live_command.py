"""The command ``vidstyle live``: recording, errors, help, bundled styles."""

import subprocess
import sys
import time
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import pixels_of, stripes, times_of, write_clip

from vidstyle import Settings, cli
from vidstyle.cli.live_flags import LIVE_DEFAULTS
from vidstyle.live.defaults import live_settings
from vidstyle.live.startup import LiveOptions


def test_live_command_records_clip(tmp_path, monkeypatch, capsys, features_file):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=25, rate=Fraction(25))
    cv2.imwrite("stripes.png", stripes()[..., ::-1])
    flags = [
        "--features",
        str(features_file),
        "--working-size",
        "64",
        "--no-window",
        "--device",
        "cpu",
    ]
    began = time.monotonic()
    assert cli.main(["live", "stripes.png", "--camera", "clip.mp4", "-o", "out.mp4", *flags]) == 0
    assert time.monotonic() - began < 30
    err = capsys.readouterr().err
    assert "frames per second" in err and f"recorded: {tmp_path / 'out.mp4'}" in err
    times = times_of("out.mp4")
    assert times and times == sorted(set(times)) and times[-1] < 1  # a busy machine skips frames
    for arguments, code, reason in (
        (["stripes.png", "--camera", "clip.mp4", "-o", "out.mp4"], 1, "add -y"),
        (
            ["stripes.png", "--camera", "nothing.mp4", "-o", "b.mp4"],
            1,
            "camera nothing.mp4 cannot be opened",
        ),
        (["nothing.png", "--camera", "clip.mp4", "-o", "b.mp4"], 1, "nothing.png does not exist"),
        (["stripes.png", "--fps", "0", "-o", "b.mp4"], 2, "fps is 0"),
        (["stripes.png", "--steps", "500", "-o", "b.mp4"], 2, "steps is 500"),
        (["stripes.png", "-o", "b.txt"], 1, "b.txt has an unsupported extension"),
        (
            ["stripes.png", "--camera", "clip.mp4"],
            2,
            "--no-window leaves no output: add -o, --web",
        ),
        (
            ["stripes.png", "--camera", "@nothing.txt", "-o", "b.mp4"],
            1,
            "@nothing.txt cannot be read",
        ),
    ):
        try:
            found = cli.main(["live", *arguments, *flags])
        except SystemExit as leaving:
            found = leaving.code
        err = capsys.readouterr().err
        assert found == code and reason in err and "Traceback" not in err
    assert Path("out.mp4").exists()


def test_live_command_stylizes_a_region_in_another_style(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=12, rate=Fraction(25))
    for name, color in (("red.png", (40, 40, 220)), ("blue.png", (220, 60, 20))):
        cv2.imwrite(name, (stripes()[..., ::-1] // 4 + np.array(color) * 3 // 4).astype(np.uint8))
    left = np.zeros((64, 96), np.uint8)
    left[:, :48] = 255
    cv2.imwrite("left.png", left)
    flags = ["--working-size", "64", "--no-window", "--device", "cpu"]
    flags += ["--camera", "clip.mp4", "--region", "left.png=red.png"]
    assert cli.main(["live", "blue.png", "-o", "out.mp4", *flags]) == 0
    last = pixels_of("out.mp4")[-1].astype(int)
    redness = (last[..., 0] - last[..., 2]).mean(0)
    middle = len(redness) // 2
    # Without the region the left half is less red than the right one; how much redder it is with
    # the region depends on the number of steps that the machine finds time for. The features of
    # other tests have no colours: these would be lost after some steps.
    assert redness[: middle - 8].mean() > redness[middle + 8 :].mean() + 10


def test_live_command_refuses_masks_that_are_no_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=3)
    for flags, reason in (
        (["--mask", "nobody.png"], "nobody.png does not exist"),
        (["--region", "clip.mp4=ink"], "clip.mp4 is no still image"),
        (["--region", "ink"], "is not MASK=STYLE"),
    ):
        command = ["live", "ink", "--camera", "clip.mp4", "--no-window", "-o", "b.mp4", *flags]
        try:
            found = cli.main([*command, "--device", "cpu"])
        except SystemExit as leaving:
            found = leaving.code
        err = capsys.readouterr().err
        assert found in (1, 2) and reason in err and "Traceback" not in err


@pytest.mark.parametrize("preset", ["draft", "standard", "final"])
def test_live_settings_match_no_patches_in_any_preset(preset):
    assert live_settings(preset).flow == "dis"  # matching would delay single frames


def test_live_help_shows_defaults(capsys):
    assert f"{LiveOptions().max_steps} at most" in LIVE_DEFAULTS["steps"]
    with pytest.raises(SystemExit):
        cli.main(["live", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    for knob in fields(Settings):
        value, text = getattr(live_settings(), knob.name), " ".join(knob.metadata["help"].split())
        shown = LIVE_DEFAULTS.get(
            knob.name, f"{value:g}" if isinstance(value, (int, float)) else ""
        )
        if shown and not isinstance(value, bool):
            assert f"{text} (default: {shown})" in words


def test_live_command_without_style_uses_bundled_styles(
    tmp_path, monkeypatch, capsys, features_file
):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", count=10, rate=Fraction(25))

    def live(session, *given):
        print(session.controls.names)
        session.close()

    monkeypatch.setattr("vidstyle.live.loop.live", live)
    for arguments, expected in (
        ([], ["dots", "engraving", "glass", "ink", "mosaic", "paper", "strokes", "watercolor"]),
        (["ink", "dots"], ["ink", "dots"]),
    ):
        flags = ["--features", str(features_file), "--no-window", "-o", f"{len(arguments)}.mp4"]
        flags += ["--device", "cpu", "--camera", "clip.mp4"]
        assert cli.main(["live", *arguments, *flags]) == 0
        assert capsys.readouterr().out.strip() == str(expected)


def test_live_command_opens_the_camera_before_it_loads_pytorch(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", count=2)
    code = (
        "import sys, vidstyle.live.camera as camera\n"
        "from vidstyle import cli\n"
        "def opened(*given): sys.exit(int('torch' in sys.modules))\n"
        "camera.open_camera = opened\n"
        f"cli.main(['live', 'ink', '--camera', {str(clip)!r}, '--no-window', '-o', 'out.mp4'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert result.returncode == 0
