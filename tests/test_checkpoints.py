"""The folder of segments and checkpoints."""

import json

import pytest

from vidstyle.io.checkpoints import Checkpoint, SegmentFolder


def folder_of_four(tmp_path):
    folder = SegmentFolder(tmp_path / "out.mp4", ".mp4")
    folder.begin({"a": 1})
    for number in range(4):
        folder.next_segment().write_bytes(b"segment")
        folder.finish_segment()
        folder.save(Checkpoint(10 * number, 1, {}, (5,)))
    return folder


def test_segment_folder_keeps_two_checkpoints(tmp_path):
    folder = folder_of_four(tmp_path)
    assert sorted(path.name for path in folder.folder.glob("*.safetensors")) == [
        "000003.safetensors",
        "000004.safetensors",
    ]
    found = SegmentFolder(tmp_path / "out.mp4", ".mp4").find_checkpoint({"a": 1})
    assert (found.frames, found.frames_in_shot, found.sink_state, dict(found.state)) == (
        30,
        1,
        (5,),
        {},
    )
    job = json.loads((folder.folder / "job.json").read_text())
    assert (job["output"], job["segments"], job["job"]) == ("out.mp4", 4, {"a": 1})
    folder.remove()
    assert not folder.folder.exists()


@pytest.mark.parametrize(
    "left",
    [
        "000004.part.mp4",
        "000004.mp4",
        ".000004.safetensors.0123abcd.part",
        ".job.json.0123abcd.part",
    ],
)
def test_segment_folder_finds_segments_after_a_crash(tmp_path, left):
    """Whatever a crash interrupts was listed before it was begun."""
    folder = folder_of_four(tmp_path)
    folder.next_segment()
    (folder.folder / left).write_bytes(b"half")
    again = SegmentFolder(tmp_path / "out.mp4", ".mp4")
    again.check(may_replace=True)
    assert again.find_checkpoint({"a": 1}).frames == 30
    again.remove()
    assert not list(tmp_path.iterdir())


def test_segment_folder_takes_over_an_empty_folder(tmp_path):
    (tmp_path / "out.part").mkdir()  # killed before its job was listed
    (tmp_path / "out.part" / ".job.json.0123abcd.part").touch()
    folder = SegmentFolder(tmp_path / "out.mp4", ".mp4")
    folder.check(may_replace=True)
    folder.begin({})
    assert [path.name for path in folder.folder.iterdir()] == ["job.json"]
