"""Measure each audio codec in each output, and write docs/sound.md: python benchmarks/sound.py

Each clip is made with an encoder of PyAV's or, where PyAV has none, of the ``ffmpeg`` command. Each
shows a flash and plays a click at one second. Nothing is stylised: the frames pass unchanged.
The result is decoded, and the distance between flash and click compared with that of the clip.
"""

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from vidstyle import Encoding, open_sink, open_source
from vidstyle.io.audio_encoder import ENCODER_LABELS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "sound.json"
PAGE = ROOT / "docs" / "sound.md"

OUTPUTS = (".mp4", ".mov", ".mkv", ".webm", "- (matroska)", "- (nut)")
"""Endings of files (.m4v is .mp4 by another name), and what ``-o -`` writes with ``-f``."""

VIDEO_FPS, SECONDS, FLASH_SECONDS = 25, 2, 1

VIDEO = {
    ".wmv": ("wmv2", (64, 48)),
    ".asf": ("wmv2", (64, 48)),
    ".flv": ("flv1", (64, 48)),
    ".ts": ("mpeg2video", (64, 48)),
    ".m2ts": ("mpeg2video", (64, 48)),
    ".vob": ("mpeg2video", (64, 48)),
    ".mpg": ("mpeg2video", (64, 48)),
    ".mxf": ("mpeg2video", (64, 48)),
    ".3gp": ("h263", (176, 144)),
    ".rm": ("rv10", (176, 144)),
    ".dv": ("dvvideo", (720, 576)),
}
"""Extension of a clip -> video codec and size; others have MPEG-4."""


@dataclass(frozen=True)
class Clip:
    """A kind of sound as it is found in clips.

    Args:
        name: what people call it.
        encoder: FFmpeg's name of its encoder.
        ending: of the clip.
        rate: samples per second.
        layout: of its channels.
        options: of the ``ffmpeg`` command, which makes the clip where there are any.
    """

    name: str
    encoder: str
    ending: str
    rate: int = 48000
    layout: str = "stereo"
    options: tuple[str, ...] = ()

    @property
    def bit_rate(self):
        """Bits per second that its encoder is asked for."""
        return BIT_RATES.get(self.encoder, 128_000)


BIT_RATES = {"g723_1": 6300, "libopencore_amrnb": 12200, "g726": 32000}
"""Of encoders that know a few bit rates only."""

FFMPEG = ("-strict", "-2")
CLIPS = (
    Clip("AAC", "aac", ".mp4"),
    Clip("AAC in ADTS (broadcast)", "aac", ".ts"),
    Clip("AAC in LATM (broadcast)", "aac", ".ts", options=("-mpegts_flags", "latm")),
    Clip("AC-3 (disc, broadcast)", "ac3", ".ts", layout="5.1"),
    Clip("E-AC-3 (broadcast)", "eac3", ".ts", layout="5.1"),
    Clip("ADPCM, G.722", "g722", ".mkv", 16000, "mono", FFMPEG),
    Clip("ADPCM, G.726 (IP cameras)", "g726", ".mkv", 8000, "mono", FFMPEG),
    Clip("ADPCM, IMA (AVI)", "adpcm_ima_wav", ".avi", 22050, "mono"),
    Clip("ADPCM, IMA (QuickTime)", "adpcm_ima_qt", ".mov", 22050, "mono"),
    Clip("ADPCM, Microsoft", "adpcm_ms", ".avi", 22050, "mono"),
    Clip("ADPCM, Flash", "adpcm_swf", ".flv", 22050, "mono"),
    Clip("ADPCM, Yamaha", "adpcm_yamaha", ".avi", 22050, "mono"),
    Clip("ALAC", "alac", ".mov"),
    Clip("AMR-NB (old phones)", "libopencore_amrnb", ".3gp", 8000, "mono"),
    Clip("DTS (disc)", "dca", ".mkv", layout="5.1", options=FFMPEG),
    Clip("FLAC", "flac", ".mkv"),
    Clip("G.723.1", "g723_1", ".avi", 8000, "mono"),
    Clip("GSM (QuickTime)", "libgsm", ".mov", 8000, "mono", FFMPEG),
    Clip("GSM (AVI)", "libgsm_ms", ".avi", 8000, "mono", FFMPEG),
    Clip("MLP (disc)", "mlp", ".mkv", options=FFMPEG),
    Clip("MP2 (broadcast, old cameras)", "mp2", ".mpg"),
    Clip("MP3", "libmp3lame", ".avi", 44100),
    Clip("Nellymoser (Flash)", "nellymoser", ".flv", 22050, "mono"),
    Clip("Opus", "libopus", ".mkv"),
    Clip("PCM, A-law (IP cameras)", "pcm_alaw", ".mov", 8000, "mono"),
    Clip("PCM, mu-law (old cameras)", "pcm_mulaw", ".avi", 8000, "mono"),
    Clip("PCM, unsigned 8 bits (old cameras)", "pcm_u8", ".avi", 11025, "mono"),
    Clip("PCM, signed 8 bits", "pcm_s8", ".mov", 22050, "mono"),
    Clip("PCM, 16 bits (AVI)", "pcm_s16le", ".avi", 44100),
    Clip("PCM, 16 bits (DV)", "pcm_s16le", ".dv"),
    Clip("PCM, 16 bits, big-endian", "pcm_s16be", ".mov"),
    Clip("PCM, 24 bits", "pcm_s24le", ".mov"),
    Clip("PCM, 32 bits", "pcm_s32le", ".mov"),
    Clip("PCM, float", "pcm_f32le", ".mkv"),
    Clip("PCM, double", "pcm_f64le", ".mkv"),
    Clip("PCM, big-endian float", "pcm_f32be", ".mov"),
    Clip("PCM (Blu-ray)", "pcm_bluray", ".m2ts"),
    Clip("PCM (DVD)", "pcm_dvd", ".vob"),
    Clip("PCM, planar", "pcm_s16le_planar", ".nut"),
    Clip("RealAudio 1", "real_144", ".mkv", 8000, "mono"),
    Clip("S302M (broadcast)", "s302m", ".ts", options=FFMPEG),
    Clip("Speex (Flash)", "libspeex", ".flv", 16000, "mono", FFMPEG),
    Clip("TrueHD (disc)", "truehd", ".mkv", options=FFMPEG),
    Clip("TTA", "tta", ".mkv"),
    Clip("Vorbis", "libvorbis", ".mkv", options=FFMPEG),
    Clip("WavPack", "wavpack", ".mkv"),
    Clip("Windows Media Audio 1", "wmav1", ".asf", 44100),
    Clip("Windows Media Audio 2", "wmav2", ".wmv", 44100),
)


def flash_image(number, size):
    """A grey frame, or a white one at the flash."""
    value = 250 if number == VIDEO_FPS * FLASH_SECONDS else 20
    return np.full((size[1], size[0], 3), value, np.uint8)


def sound(clip, seconds=SECONDS):
    """(channels, samples) float32: silence, with a click of 20 ms at one second in all channels."""
    channels = av.AudioLayout(clip.layout).nb_channels
    samples = np.zeros((channels, clip.rate * seconds), np.float32)
    click = np.sin(np.arange(clip.rate // 50) * 2 * np.pi * 1000 / clip.rate)
    samples[:, clip.rate * FLASH_SECONDS :][:, : len(click)] = 0.9 * click
    return samples


def make(clip, folder):
    """Write the clip; returns its path."""
    path = folder / f"clip{clip.ending}"
    if not clip.options:
        return write(path, clip, clip.encoder)
    plain = write(folder / "plain.mkv", clip, "pcm_s16le")
    video, _ = VIDEO.get(clip.ending, ("mpeg4", None))
    codecs = ["-c:v", video, "-c:a", clip.encoder, *clip.options]
    command = ["ffmpeg", "-v", "error", "-y", "-i", plain, *codecs, path]
    subprocess.run(command, check=True, timeout=60)
    return path


def write(path, clip, encoder):
    """Encode the clip with PyAV."""
    codec, size = VIDEO.get(path.suffix, ("mpeg4", (64, 48)))
    kind = {".m2ts": "mpegts", ".wmv": "asf"}.get(path.suffix)
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    with av.open(str(path), "w", format=kind, options=options) as output:
        video = output.add_stream(codec, rate=VIDEO_FPS)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        track = output.add_stream(
            encoder, rate=clip.rate, layout=clip.layout, bit_rate=clip.bit_rate
        )
        wanted = track.codec_context.format.name
        resampler = av.AudioResampler(wanted, clip.layout, clip.rate)
        samples, block = sound(clip), clip.rate // VIDEO_FPS
        for number in range(VIDEO_FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(flash_image(number, size), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, VIDEO_FPS)
            output.mux(video.encode(frame))
            part = samples[:, number * block : (number + 1) * block].T.reshape(1, -1)
            heard = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "flt", clip.layout)
            heard.sample_rate, heard.pts = clip.rate, number * block
            heard.time_base = Fraction(1, clip.rate)
            for each in resampler.resample(heard):
                output.mux(track.encode(each))
        output.mux(video.encode(None))
        output.mux(track.encode(None))
    return path


def flash_and_click(file):
    """(seconds of the flash, seconds of the middle of the click) in a file or an open buffer."""
    rewind = file.seek if hasattr(file, "seek") else lambda _: None
    rewind(0)
    with av.open(file, "r") as container:
        frames = container.decode(video=0)
        flash = next(frame.time for frame in frames if frame.to_ndarray(format="gray").mean() > 128)
    rewind(0)
    with av.open(file, "r") as container:
        energy = moment = ends = 0.0
        for block in container.decode(audio=0):
            converted = av.AudioResampler("fltp", "mono", block.sample_rate).resample(block)
            power = np.concatenate([each.to_ndarray()[0] for each in converted] or [[0]]) ** 2
            begins = ends if block.time is None else block.time
            ends = begins + len(power) / block.sample_rate
            energy += power.sum()
            moment += power @ (begins + np.arange(len(power)) / block.sample_rate)
    if not energy:
        raise ValueError("no click is heard")
    return flash, float(moment / energy)


def through(path, output, folder):
    """Send all frames of a clip to an output; return the written file or buffer."""
    written = io.BytesIO()
    target, encoding = folder / f"out{output}", Encoding()
    if output.startswith("-"):
        target, encoding = "-", Encoding(pipe=output[3:-1])
    with (
        redirect_stdout(io.TextIOWrapper(written, write_through=True)) as stdout,
        open_source(path) as source,
        open_sink(target, source, overwrite=True, encoding=encoding) as sink,
    ):
        for frame in source:
            sink.send(frame)
    if target != "-":
        return str(target)
    stdout.detach()
    return io.BytesIO(written.getvalue())


def cell(path, output, folder, before):
    """("copied" or the new codec, how many ms the click moved against the flash)."""
    with av.open(str(path)) as container:
        given = container.streams.audio[0]
        codec, packets = given.codec.canonical_name, heads(container, given)
    written = through(path, output, folder)
    flash, click = flash_and_click(written)
    if hasattr(written, "seek"):
        written.seek(0)
    with av.open(written, "r") as container:
        made = container.streams.audio[0]
        name = made.codec.canonical_name
        copied = name == codec or heads(container, made) == packets
    moved = 1000 * ((click - flash) - (before[1] - before[0]))
    names = {("libopus" if key == "opus" else key): value for key, value in ENCODER_LABELS.items()}
    return ("copied" if copied else names.get(name, name.capitalize())), round(moved, 1)


def heads(container, stream, count=4):
    """The first packets' bytes."""
    packets = (bytes(packet) for packet in container.demux(stream) if packet.size)
    return list(islice(packets, count))


def measure(clips=CLIPS, outputs=OUTPUTS):
    """{name of the sound: {output: [what becomes of it, ms that it moved]}}."""
    table = {}
    for clip in clips:
        with TemporaryDirectory() as folder:
            path = make(clip, Path(folder))
            before = flash_and_click(str(path))
            table[clip.name] = {
                output: list(cell(path, output, Path(folder), before)) for output in outputs
            }
        print(clip.name, table[clip.name], file=sys.stderr)
    return table


def page(table):
    """docs/sound.md."""
    moved = max(abs(ms) for row in table.values() for _, ms in row.values())
    copied = sum(what == "copied" for row in table.values() for what, _ in row.values())
    cells = sum(len(row) for row in table.values())
    lines = [
        "# Audio",
        "",
        "vidstyle copies audio wherever the output can hold it: what `ffmpeg -c copy` can write",
        "and what can be read back. Other audio is re-encoded: lossless audio as FLAC (ALAC in",
        "`.mov`), the rest as AAC, and all of it as Opus in `.webm`. A message says so. `-an`",
        "leaves the audio out. A track with an unknown codec is left out and named; the other",
        "tracks stay.",
        "",
        "Measured by `benchmarks/sound.py`, with clips of two seconds in the containers where",
        "each codec is common. `.m4v` is like `.mp4`. `-` is standard output, in the container",
        "that `-f` names.",
        "",
        f"| audio | {' | '.join(f'`{output}`' for output in OUTPUTS)} |",
        f"|---|{'---|' * len(OUTPUTS)}",
    ]
    for name, row in table.items():
        lines.append(f"| {name} | {' | '.join(row[output][0] for output in OUTPUTS)} |")
    lines += [
        "",
        f"{copied} of {cells} are copied. Audio moved against the picture by {moved:g} ms at most",
        "(a click against a flash), in the clip with DVD audio, whose timestamps jitter as much.",
        "",
    ]
    return "\n".join(lines)


def main():
    """Measure, and write the results and the page."""
    if "--page" not in sys.argv:
        if not shutil.which("ffmpeg"):
            sys.exit("some of the clips are made by the ffmpeg command: install it first")
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
