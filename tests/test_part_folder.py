"""The folder of an unfinished output: files of others in it stay."""

import pytest
from conftest import times_of
from media import send_some

from vidstyle import OutputError, open_sink, open_source

USERS_FILES = ["diary.txt", "2024-05-01 beach.mp4", "000000.mp4", "job.json", "000001.safetensors"]


@pytest.mark.parametrize("resume", [False, True], ids=["overwrite", "resume"])
@pytest.mark.parametrize("name", USERS_FILES)
def test_part_folder_deletes_nothing_in_a_foreign_folder(tmp_path, silent, name, resume):
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / name).write_text("precious")
    with (
        open_source(silent) as source,
        pytest.raises(OutputError, match=f"{name} belongs to no unfinished render"),
    ):
        open_sink(tmp_path / "out.mp4", source, overwrite=not resume, resume=resume)
    assert (tmp_path / "out.part" / name).read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.part"]


def test_part_folder_keeps_foreign_files(tmp_path, silent):
    with open_source(silent) as source:
        sink = open_sink(tmp_path / "out.mp4", source)
        send_some(sink, ".mp4")
        for name in ("000123.mp4", "diary.txt"):
            (tmp_path / "out.part" / name).write_text("precious")
        sink.close()
        assert times_of(tmp_path / "out.mp4")
        with pytest.raises(OutputError, match="belongs to no unfinished render"):
            open_sink(tmp_path / "out.mp4", source, overwrite=True)
    assert sorted(p.name for p in (tmp_path / "out.part").iterdir()) == ["000123.mp4", "diary.txt"]


def test_part_folder_keeps_a_foreign_part_file(tmp_path, silent):
    (tmp_path / "out.part.mp4").write_bytes(b"precious")
    for flags in ({"overwrite": True}, {"resume": True}):
        with (
            open_source(silent) as source,
            pytest.raises(OutputError, match="belongs to no unfinished render"),
        ):
            open_sink(tmp_path / "out.mp4", source, **flags)
    assert (tmp_path / "out.part.mp4").read_bytes() == b"precious"


def test_open_sink_keeps_an_unfinished_run(tmp_path, silent):
    with open_source(silent) as source:
        with pytest.raises(RuntimeError), open_sink(tmp_path / "out.mp4", source) as sink:
            send_some(sink, ".mp4")
            raise RuntimeError("the painter broke")
        kept = (tmp_path / "out.part.mp4").read_bytes()
        with pytest.raises(OutputError, match="from an unfinished run"):
            open_sink(tmp_path / "out.mp4", source)
        with pytest.raises(
            OutputError, match=r"unfinished run for out\.mp4"
        ):  # which needs the same folder
            open_sink(tmp_path / "out.mkv", source, overwrite=True)
        assert (tmp_path / "out.part.mp4").read_bytes() == kept
        with open_sink(tmp_path / "out.mp4", source, overwrite=True) as sink:
            send_some(sink, ".mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
