"""HEIC pictures made of tiles, as phones write them, put together box by box (ISO/IEC 14496-12 and
23008-12)."""

import struct
from fractions import Fraction

import av
import numpy as np


def box(kind, *parts, version=None, flags=0):
    body = (b"" if version is None else struct.pack(">I", version << 24 | flags)) + b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def encoded(tile):
    """(hvcC record, samples) of one (H, W, 3) RGB tile as a single HEVC picture."""
    height, width = tile.shape[:2]
    coder = av.CodecContext.create("libx265", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base, coder.framerate = Fraction(1, 25), Fraction(25)
    coder.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: parameter sets go into the record
    coder.options = {"x265-params": "keyint=1:log-level=none:qp=8:info=0:pools=none"}
    coder.open()
    frame = av.VideoFrame.from_ndarray(tile, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU601"
    )
    packets = [*coder.encode(frame), *coder.encode()]
    units = [unit for packet in packets for unit in _units(bytes(packet))]
    return _record(_units(bytes(coder.extradata))), b"".join(
        struct.pack(">I", len(unit)) + unit for unit in units
    )


def _units(stream):
    parts = stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [part for part in parts if part]


def _record(units):
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15): main still picture, 4:2:0, 8 bits, lengths
    of 4 bytes."""
    head = bytes(
        (
            1,
            3,
            0x70,
            0,
            0,
            0,
            0x90,
            0,
            0,
            0,
            0,
            0,
            93,
            0xF0,
            0,
            0xFC,
            0xFD,
            0xF8,
            0xF8,
            0,
            0,
            0x0F,
            len(units),
        )
    )
    arrays = (struct.pack(">BHH", 0x80 | unit[0] >> 1 & 63, 1, len(unit)) + unit for unit in units)
    return head + b"".join(arrays)


def tiled(picture, side=64):
    """An (H, W, 3) RGB picture, sides multiples of ``side``, as a HEIC file of square tiles."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    tiles = [
        picture[y * side : (y + 1) * side, x * side : (x + 1) * side]
        for y in range(rows)
        for x in range(columns)
    ]
    coded = [encoded(np.ascontiguousarray(tile)) for tile in tiles]
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, picture.shape[1], picture.shape[0])
    data = [samples for _, samples in coded] + [grid]
    ids = range(1, len(data) + 1)
    kinds = [(b"hvc1", 1)] * len(tiles) + [
        (b"grid", 0)
    ]  # a tile is hidden: it is no picture of its own
    infos = [
        (struct.pack(">HH4s", i, 0, kind), flags)
        for i, (kind, flags) in zip(ids, kinds, strict=True)
    ]
    entries = [box("infe", info, b"\0", version=2, flags=flags) for info, flags in infos]
    sizes = [(side, side), (picture.shape[1], picture.shape[0])]
    properties = box(
        "ipco",
        box("hvcC", coded[0][0]),
        *(box("ispe", struct.pack(">II", *size), version=0) for size in sizes),
    )
    of = [struct.pack(">HBBB", i, 2, 0x81, 2) for i in ids[:-1]] + [
        struct.pack(">HBB", ids[-1], 1, 3)
    ]
    shared = box("ipma", struct.pack(">I", len(of)), *of, version=0)
    reference = box("dimg", struct.pack(f">HH{len(tiles)}H", ids[-1], len(tiles), *ids[:-1]))

    def meta(start):
        places, rows = start, []
        for i, part in zip(ids, data, strict=True):
            rows.append(struct.pack(">HHHII", i, 0, 1, places, len(part)))
            places += len(part)
        return box(
            "meta",
            box("hdlr", struct.pack(">I4s12x", 0, b"pict"), b"\0", version=0),
            box("pitm", struct.pack(">H", ids[-1]), version=0),
            box("iinf", struct.pack(">H", len(entries)), *entries, version=0),
            box("iref", reference, version=0),
            box("iprp", properties, shared),
            box("iloc", struct.pack(">HH", 0x4400, len(rows)), *rows, version=0),
            version=0,
        )

    head = box("ftyp", b"heic", bytes(4), b"mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + box("mdat", *data)
