"""Clips of a stated kind, and copies of them by a stylizer that changes nothing."""

from fractions import Fraction

import av
import av.filter
import numpy as np
from conftest import chart, scene

from vidstyle import Encoding, Frame, open_sink, open_source
from vidstyle.io.stream_info import ColorInfo


def through(path, output, start=None, stop=None, sdr=False, **encoding):
    """Copy frame by frame, as a stylizer that changes nothing would."""
    with (
        open_source(path, start, stop, sdr=sdr) as source,
        open_sink(output, source, encoding=Encoding(**encoding)) as sink,
    ):
        for frame in source:
            sink.send(frame)
    return output


def encoded(
    path, images, codec="libx264", pixels="yuv420p", color=ColorInfo(6, 1, 6, 6), **options
):
    """A clip of RGB(A) pictures at 25 frames per second."""
    stream_options = options.pop("options", {"crf": "0"})
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options=stream_options)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixels
        context = video.codec_context
        context.colorspace, context.color_range = color.matrix, color.range
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        for name, value in options.items():
            setattr(context, name, value)
        for number, image in enumerate(images):
            packed = {
                (np.uint8, 3): "rgb24",
                (np.uint8, 4): "rgba",
                (np.uint16, 3): "rgb48le",
                (np.uint16, 4): "rgba64le",
            }
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image), packed[image.dtype.type, image.shape[2]]
            )
            rgb = av.VideoFormat(pixels).is_rgb
            tags = {} if rgb else {"dst_colorspace": color.matrix, "dst_color_range": color.range}
            frame = frame.reformat(format=pixels, **tags)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def pictures_of(path, **options):
    with open_source(path, **options) as source:
        return [frame.image for frame in source], source.format


def patches(image):
    """The middles of the chart's eight patches."""
    return image[20::40, 20::40].astype(int)


DEEP_CHART = chart().astype(np.uint16) * 257 + np.uint16(77)


def joined(folder, *paths):
    whole = folder / "joined.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    return whole


def flash_and_click(path, begins, codec="aac"):
    """Two seconds of grey with a flash, and silence with a click, at one second."""
    rate, audio_rate = 25, 48000 if codec in ("libopus", "ac3") else 44100
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=rate)
        sound = output.add_stream(codec, rate=audio_rate, layout="mono")
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", audio_rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(2 * rate):
            image = np.full((48, 64, 3), 250 if number == rate else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number + begins * rate, Fraction(1, rate)
            output.mux(video.encode(frame))
            samples = np.zeros((1, audio_rate // rate), np.float32)
            if number == rate:
                samples[:, :40] = 0.9
            block = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            block.sample_rate, block.pts = audio_rate, (number + begins * rate) * audio_rate // rate
            block.time_base = Fraction(1, audio_rate)
            for packed in resampler.resample(block):
                output.mux(sound.encode(packed))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    return path


def flashes_and_clicks(path):
    with av.open(str(path)) as container:
        flashes = [
            float(frame.time)
            for frame in container.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 128
        ]
    with av.open(str(path)) as container:
        clicks = []
        for block in container.decode(audio=0):
            samples = np.abs(block.to_ndarray()[0])
            if samples.max() > 0.4 * (
                np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
            ):
                time = float(block.time) + int(samples.argmax()) / block.sample_rate
                if not clicks or time - clicks[-1] > 0.5:
                    clicks.append(time)
    return flashes, clicks


CLIPS = [".mp4", ".m4v", ".mov", ".mkv", ".webm"]
PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif"]


def send_some(sink, ending, count=3):
    """Send frames of ``scene``: one to an image, else ``count``."""
    for number in range(1 if ending in PICTURES else count):
        sink.send(Frame(scene(number / 25), Fraction(number, 25), Fraction(1, 25)))
