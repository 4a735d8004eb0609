"""What decoded frames say beside their pixels and no output can keep."""

import struct

from conftest import scene, write_clip
from media import encoded

from vidstyle import open_source


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def make_spherical(path):
    """Put the boxes of Spherical Video V2 (equirectangular) into an MP4 whose moov comes last."""
    data = bytearray(path.read_bytes())
    projection = box(b"prhd", bytes(16)) + box(b"equi", bytes(20))
    added = box(b"sv3d", box(b"svhd", bytes(5)) + box(b"proj", projection))
    place, outer = 0, []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        while data[place + 4 : place + 8] != name:
            place += struct.unpack_from(">I", data, place)[0]
        outer.append(place)
        place += {b"stsd": 16}.get(name, 8)
    for place in outer:
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(added))
    end = outer[-1] + struct.unpack_from(">I", data, outer[-1])[0] - len(added)
    data[end:end] = added
    path.write_bytes(data)


def warnings_of(path, caplog):
    caplog.clear()
    with open_source(path):
        return [record.message for record in caplog.records]


def test_open_source_names_lost_spherical_and_stereoscopic_metadata(tmp_path, caplog):
    path = write_clip(tmp_path / "in.mp4", count=3)
    assert not warnings_of(path, caplog)
    make_spherical(path)
    (warning,) = warnings_of(path, caplog)
    assert "its 360-degree (spherical) metadata is dropped" in warning
    side_by_side = {"crf": "20", "x264-params": "frame-packing=3"}
    (warning,) = warnings_of(
        encoded(tmp_path / "3d.mp4", [scene()] * 3, options=side_by_side), caplog
    )
    assert "its 3D (stereoscopic) metadata is dropped" in warning
