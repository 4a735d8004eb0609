"""Files of ``benchmarks/fuzz.py``: an intact one of each kind, and mutations of its bytes."""

import io
import json
import zlib
from fractions import Fraction

import av
import numpy as np
import torch

import vidstyle as vs
from vidstyle.features.network import Network, NetworkShape
from vidstyle.features.weights import write_network
from vidstyle.io.images import write_image
from vidstyle.io.subtitles import SubtitleTranscoder

CLIPS = {
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "libx264", "aac"),
    "mkv": ("matroska", "libx264", "aac"),
    "webm": ("webm", "libvpx-vp9", "libopus"),
    "ts": ("mpegts", "libx264", "aac"),
    "avi": ("avi", "mpeg4", "mp3"),
    "flv": ("flv", "flv", "aac"),
    "nut": ("nut", "ffv1", "aac"),
    "gif": ("gif", "gif", None),
    "y4m": ("yuv4mpegpipe", "wrapped_avframe", None),
}
"""Extension -> container, video codec, audio codec."""

SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip", "webm": "webvtt"}
IMAGES = ("png", "jpg", "webp", "bmp", "tif", "deep.png")
KINDS = (*CLIPS, *IMAGES, "numbered", "safetensors", "state")

FRAMES, SHOT_FRAMES = 20, 5
TINY = NetworkShape((4, 4, 4, 4, 4), (1, 1, 1, 1, 1), (0.45,) * 3, (0.25,) * 3)
HUGE_PX = 60000
"""Width and height that some files claim."""


def drawn(number):
    """(48, 64, 3) uint8: a disc on a gradient."""
    y, x = np.mgrid[:48, :64]
    image = np.stack([x * 4, y * 5, np.full_like(x, 90)], -1)
    image[(x - 16 - 2 * number) ** 2 + (y - 24) ** 2 < 100] = (230, 60, 40)
    return image.astype(np.uint8)


def open_job(path, resume):
    """A sink as a render opens it; ``resume``: as a resumed render opens it."""
    return vs.VideoWriter(
        path,
        vs.VideoInfo((64, 48), Fraction(25), Fraction(1, 12800)),
        vs.Encoding(),
        {"steps": 1},
        resume,
    )


def send(sink, begin):
    """Send the frames from index ``begin`` on, with a checkpoint after each shot."""
    for number in range(begin, FRAMES):
        if number and number % SHOT_FRAMES == 0:
            sink.checkpoint(vs.Checkpoint(number, 1, {"image": torch.rand(1, 3, 8, 8)}))
        sink.send(vs.Frame(drawn(number), Fraction(number, 25), Fraction(1, 25)))


def make_seeds(folder):
    """Write an intact file of each kind, and the folder of segments of an aborted render."""
    for ending in CLIPS:
        make_clip(folder / f"seed.{ending}", ending)
    deep = np.dstack([drawn(0), drawn(1)[..., :1]]).astype(np.uint16) * 257
    for ending in IMAGES:
        write_image(folder / f"seed.{ending}", deep if ending == "deep.png" else drawn(0))
    (folder / "seed.numbered").write_bytes((folder / "seed.png").read_bytes())
    torch.manual_seed(0)
    network = folder / "seed.safetensors"
    write_network(network, Network(TINY).state_dict(), TINY)
    network.write_bytes(in_order(network.read_bytes()))
    sink = open_job(folder / "state.mp4", resume=False)
    send(sink, 0)
    sink.close(complete=False)  # leaves the folder of segments


def in_order(data):
    """A safetensors file with sorted metadata: the library writes it in random order."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return data[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(end - 8) + data[end:]


def make_clip(path, ending):
    """Write a clip with every side stream that its container can hold, reproducibly."""
    container, codec, sound = CLIPS[ending]
    with av.open(str(path), "w", format=container, options={"fflags": "bitexact"}) as output:
        # libx264's macroblock tree is not reproducible.
        same = {"threads": "1"} | ({"mbtree": "0"} if codec == "libx264" else {})
        video = output.add_stream(codec, rate=25, options=same)
        video.width, video.height = 64, 48
        video.pix_fmt = {"gif": "rgb8", "ffv1": "bgr0"}.get(codec, "yuv420p")
        tracks = [(video, video_frame)]
        if sound:
            tracks.append((output.add_stream(sound, rate=48000, layout="mono"), silence))
        cues = SubtitleTranscoder(output, SUBTITLES[ending]) if ending in SUBTITLES else None
        if cues:
            chapter = {
                "id": 1,
                "start": 0,
                "end": 500,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": "one"},
            }
            output.set_chapters([chapter])
            output.metadata["title"] = "seed"
        if ending == "mkv":
            output.add_attachment("notes.txt", "text/plain", b"hello")
        for number in range(FRAMES):
            for stream, make in tracks:
                output.mux(stream.encode(make(number, stream.codec_context.format.name)))
        for stream, _ in tracks:
            output.mux(stream.encode(None))
        if cues:
            add_cues(output, cues)


def video_frame(number, form):
    """Frame ``number`` of the clips."""
    frame = av.VideoFrame.from_ndarray(drawn(number), "rgb24").reformat(format=form)
    frame.pts, frame.time_base = number, Fraction(1, 25)
    return frame


def silence(number, _):
    """Silent audio of one frame's duration; the encoder converts its sample format."""
    block = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), "fltp", "mono")
    block.sample_rate, block.pts, block.time_base = 48000, 1920 * number, Fraction(1, 48000)
    return block


def add_cues(output, cues):
    """Add two subtitles."""
    text = b"1\n00:00:00,100 --> 00:00:00,300\nhello\n\n2\n00:00:00,400 --> 00:00:00,700\nagain\n\n"
    with av.open(io.BytesIO(text), format="srt") as lines:
        for packet in lines.demux():
            if packet.size:
                time, length = packet.pts * packet.time_base, packet.duration * packet.time_base
                output.mux(list(cues.packets(packet, time, length)))
        output.mux(list(cues.flush()))


INTERESTING = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, HUGE_PX)


def mutate(data, other, chance):
    """Apply one to three random mutations.

    Args:
        data: the bytes.
        other: bytes of another file, for splices.
        chance: a ``random.Random``.
    """
    data = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        # Headers and trailers have most of the structure.
        near = min(len(data), 400) if chance.random() < 0.4 else len(data)
        place = (
            chance.randrange(near)
            if chance.random() < 0.8
            else len(data) - 1 - chance.randrange(near)
        )
        chance.choice(WAYS)(data, place, chance.choice((1, 4, 16, 200)), other, chance)
        data = data or bytearray(b"\0")
    return bytes(data)


def _flip(data, place, length, other, chance):
    for _ in range(chance.choice((1, 2, 16))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data, place, length, other, chance):
    run = chance.choice((chance.randbytes(length), bytes(length), b"\xff" * length))
    data[place : place + length] = run[: len(data) - place]


def _delete(data, place, length, other, chance):
    del data[place : place + length]


def _duplicate(data, place, length, other, chance):
    data[place:place] = data[place : place + length]


def _cut(data, place, length, other, chance):
    del data[place:]


def _swap(data, place, length, other, chance):
    there = chance.randrange(len(data))
    first, second = sorted((place, there))
    length = min(length, second - first, len(data) - second)
    if length:
        kept = data[first : first + length]
        data[first : first + length], data[second : second + length] = (
            data[second : second + length],
            kept,
        )


def _splice(data, place, length, other, chance):
    data[place:] = other[chance.randrange(len(other)) :]


def _number(data, place, length, other, chance):
    value = chance.choice((*INTERESTING, chance.getrandbits(32)))
    data[place : place + 4] = value.to_bytes(4, chance.choice(("big", "little")))


WAYS = (_flip, _flip, _overwrite, _delete, _duplicate, _cut, _swap, _splice, _number, _number)


def mended(data):
    """A PNG with correct chunk checksums: decoders stop at the first wrong one."""
    data, place = bytearray(data), 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(data)
