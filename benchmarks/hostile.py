"""Handwritten files for ``benchmarks/fuzz.py``: playlists, decompression bombs, false headers."""

import json
import os
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from fuzz_files import HUGE_PX, TINY

from vidstyle.features.network import Network
from vidstyle.features.weights import FORMAT, VERSION
from vidstyle.io.tensor_file import write_tensors

BOTH = ("read", "refused")
NEAR = ("near.mp4", "near.ts", "near.png")
"""Intact files in the folder of a hostile file, which it must not open."""

LATIN = os.fsdecode(b"caf\xe9 %d: \n\x1b[31m")
"""A file name with invalid UTF-8, a number pattern, a colon, a newline and an ANSI color code."""


def hostile(seeds, port):
    """[(kind, name, bytes, allowed outcomes)]."""
    found = [(kind, name, text.encode(), ("refused",)) for kind, name, text in playlists(port)]
    found += [(kind, name, data, ("refused",)) for kind, name, data in false_sizes()]
    found += [
        ("clip", f"{LATIN}.{ending}", b"not a clip", ("refused",))
        for ending in ("mp4", "png", "safetensors")
    ]
    found += [
        ("clip", f"{LATIN}.{ending}", (seeds / f"seed.{ending}").read_bytes(), ("read",))
        for ending in ("mp4", "png")
    ]
    found += [("clip", name, data, ("refused",)) for name, data in weights()]
    found += [("state", name, data, BOTH) for name, data in states(seeds)]
    return found


def playlists(port):
    """Playlists of neighbouring files and of addresses, with their own extension and with .mp4."""
    address = f"http://127.0.0.1:{port}/a.ts"
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
        "list.txt": "file '{}'\n",
        "list.mpd": "<?xml version='1.0'?>"
        "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' mediaPresentationDuration='PT1S'><Period>"
        "<AdaptationSet mimeType='video/mp4'><Representation id='1'>"
        "<BaseURL>{}</BaseURL></Representation></AdaptationSet>"
        "</Period></MPD>",
        "list.html": "<html><video src='{}'></html>",
        "list.svg": "<svg xmlns='http://www.w3.org/2000/svg'><image href='{}'/></svg>",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }
    for name, text in lists.items():
        for target in (
            "near.mp4",
            "near.ts",
            f"file:{name}",
            address,
            f"tcp://127.0.0.1:{port}",
            f"concat:{address}|near.ts",
        ):
            yield "clip", name, text.format(target)
            yield "clip", f"{name}.mp4", text.format(target)
    yield "clip", "drawing.png", lists["list.svg"].format(address)


def false_sizes():
    """Images whose headers claim huge sizes, and a decompression bomb."""
    header = bytes([8, 2, 0, 0, 0])
    yield (
        "clip",
        "huge.png",
        png(HUGE_PX.to_bytes(4, "big") * 2 + header, zlib.compress(bytes(1000))),
    )
    side, million = 20000, 1 << 20
    flush = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = flush.compress(bytes(million)) + flush.flush(zlib.Z_FULL_FLUSH)
    count = side * (3 * side + 1) // million + 1
    sums = (count * million % 65521 << 16 | 1).to_bytes(4, "big")  # Adler-32 of these zeros
    yield (
        "clip",
        "bomb.png",
        png(side.to_bytes(4, "big") * 2 + header, b"\x78\xda" + zeros * count + b"\x03\0" + sums),
    )
    sides = (
        (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + HUGE_PX.to_bytes(4, "little") * 2
    )
    yield "clip", "huge.bmp", b"BM" + bytes(8) + sides + b"\1\0\x18\0" + bytes(24)
    yield (
        "clip",
        "huge.y4m",
        f"YUV4MPEG2 W{HUGE_PX} H{HUGE_PX} F25:1 C420\nFRAME\n".encode() + bytes(1000),
    )
    yield (
        "clip",
        "huge.gif",
        b"GIF89a"
        + b"\xff" * 4
        + bytes(3)
        + b","
        + bytes(4)
        + b"\xff" * 4
        + b"\0\x02\x02\x4c\x01\0;",
    )


def png(header, data):
    """A PNG with one IDAT chunk."""
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    parts = [
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def weights():
    """Weights files (safetensors)."""

    def raw(header):
        return len(header).to_bytes(8, "little") + header

    one = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    yield "long.safetensors", (1 << 40).to_bytes(8, "little") + b"{}"
    yield (
        "beyond.safetensors",
        raw(json.dumps({"a": {**one, "data_offsets": [0, 1 << 40]}}).encode()) + bytes(16),
    )
    yield "overlap.safetensors", raw(json.dumps({"a": one, "b": one}).encode()) + bytes(16)
    yield "deep.safetensors", raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield (
        "version.safetensors",
        raw(json.dumps({"__metadata__": {"format": FORMAT, "version": "2\n3"}}).encode()),
    )
    yield "pickle.safetensors", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."
    tensors = Network(TINY).state_dict()
    usual = {
        "channels": TINY.channels,
        "convolutions": TINY.convolutions,
        "mean": TINY.mean,
        "std": TINY.std,
    }
    for changed in (
        {"convolutions": [10**9, 4 - 10**9, 0, 0, 1]},
        {"convolutions": [1.5, 0.5, 1, 1, 1]},
        {"channels": [10**9] * 5},
    ):
        yield "shape.safetensors", written(tensors, shape=json.dumps({**usual, **changed}))
    for shape in ("[" * 100_000, "null", '{"mean": ' + "9" * 6000 + "}"):
        yield "shape.safetensors", written(tensors, shape=shape)


def states(seeds):
    """Files of a folder of segments, with wrong content."""
    for counts in (
        [5],
        [5, 1],
        [5, 1, 2560, 1, 0],
        [-5, -1, 2560, 1, 5],
        [5.5, 1, 2560, 1, 5],
        [[5, 1], [2, 3]],
        [5, 1, 2**62, 1, 5],
        5,
    ):
        yield "000003.safetensors", written({"checkpoint.counts": torch.tensor(counts)})
    whole = (seeds / "state.part" / "000003.safetensors").read_bytes()
    yield from (
        (f"{number}.safetensors", whole) for number in ("999999999", "9" * 100, "0²3", "1٣")
    )
    yield from (
        ("job.json", text)
        for text in (
            b"[" * 200_000,
            b"null",
            b'{"steps": ' + b"9" * 6000 + b"}",
            b'{"steps": "\xed\xa0\x80"}',
        )
    )


def written(tensors, **metadata):
    """The bytes of a weights file with a correct SHA-256."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made"
        write_tensors(
            path,
            tensors,
            {"format": FORMAT, "version": VERSION, "layers": " ".join(TINY.layers), **metadata},
        )
        return path.read_bytes()
