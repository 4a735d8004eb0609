"""Draw the two sample clips: python samples/make_clips.py

boat.mp4: a sailing boat crosses a bay at sunset; audio of waves (24 frames, 12 per second).
balloons.mp4: hot-air balloons drift over hills while the camera pans (24 frames, 12 per second, no
audio).
"""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, RATE, FRAMES = 320, 180, 12, 24
SUPERSAMPLING = 4  # drawn pixels per output pixel, for antialiasing
FOLDER = Path(__file__).parent / "clips"


def sky(top, bottom):
    """A vertical gradient, (H, W, 3) float."""
    share = np.linspace(0, 1, HEIGHT * SUPERSAMPLING)[:, None, None]
    return np.repeat(
        np.array(top) * (1 - share) + np.array(bottom) * share, WIDTH * SUPERSAMPLING, axis=1
    )


def polygon(canvas, points, colour):
    cv2.fillPoly(
        canvas,
        [np.round(np.array(points) * SUPERSAMPLING * 16).astype(np.int32)],
        colour,
        cv2.LINE_AA,
        4,
    )


def disc(canvas, centre, radius, colour, squash=1.0):
    axes = (round(radius * SUPERSAMPLING * 16), round(radius * squash * SUPERSAMPLING * 16))
    place = tuple(round(value * SUPERSAMPLING * 16) for value in centre)
    around = cv2.ellipse2Poly(
        (place[0] // 16, place[1] // 16), (axes[0] // 16, axes[1] // 16), 0, 0, 360, 4
    )
    cv2.fillPoly(canvas, [around], colour, cv2.LINE_AA)


def ridge(canvas, base, height, waves, shift, colour):
    """Hills: a sum of sines down to the lower edge."""
    x = np.arange(-4, WIDTH + 5, 2)
    y = base - height * sum(
        np.sin((x + shift) * 2 * np.pi / length + phase) for length, phase in waves
    ) / len(waves)
    polygon(canvas, [*zip(x, y, strict=True), (WIDTH + 4, HEIGHT + 4), (-4, HEIGHT + 4)], colour)


def boat(time):
    """One picture of the bay at ``time`` seconds."""
    canvas = sky((60, 90, 160), (250, 170, 110))
    for radius, light in ((34, 20), (27, 45), (20, 90)):
        disc(canvas, (232, 74), radius, (255, min(255, 165 + light), 110 + light))
    for x, y, width in ((60, 34, 34), (96, 42, 26), (262, 30, 28), (158, 22, 22)):
        disc(canvas, (x + 5 * time, y), width, (236, 190, 170), 0.22)
    ridge(canvas, 96, 14, ((150, 0.4), (67, 2.0)), 0, (88, 84, 120))
    ridge(canvas, 102, 9, ((90, 1.3), (41, 0.2)), 0, (62, 74, 92))
    for row in range(16):
        y = 104 + 1.1 * row + 0.23 * row**2
        shade = (
            np.array((36, 78, 120))
            + np.array((10, 18, 16)) * np.sin(row * 2.4)
            + row * np.array((0, 1, 1))
        )
        x = np.arange(-4, WIDTH + 5, 3)
        swell = (0.6 + 0.16 * row) * np.sin(
            x * 2 * np.pi / (26 + 4 * row) + time * (2.2 + 0.06 * row) + row * 1.9
        )
        polygon(
            canvas,
            [*zip(x, y + swell, strict=True), (WIDTH + 4, HEIGHT + 4), (-4, HEIGHT + 4)],
            shade.tolist(),
        )
    for row in range(9):
        y, half = 107 + 7 * row, 9 + 1.5 * row
        sway = 3 * np.sin(time * 3 + row * 1.7)
        polygon(
            canvas,
            [(232 - half + sway, y), (232 + half + sway, y), (232 + sway, y + 2.2)],
            (250, 196, 130),
        )
    x, y = 84 + 26 * time, 133 + 2 * np.sin(time * 2.6)
    lean = 2.2 * np.sin(time * 2.6 + 1)
    polygon(
        canvas, [(x - 32, y), (x + 32, y - 1), (x + 22, y + 13), (x - 24, y + 13)], (120, 40, 34)
    )
    polygon(
        canvas, [(x - 31, y + 1), (x + 31, y), (x + 30, y + 3), (x - 30, y + 4)], (230, 214, 190)
    )
    polygon(
        canvas,
        [(x - 1, y), (x + 1, y), (x + 1 + lean, y - 68), (x - 1 + lean, y - 68)],
        (60, 40, 32),
    )
    polygon(
        canvas,
        [(x + 3, y - 5), (x + 3 + lean, y - 66), (x + 34 + lean / 2, y - 8)],
        (248, 240, 220),
    )
    polygon(
        canvas, [(x - 3, y - 5), (x - 3 + lean, y - 58), (x - 25 + lean / 2, y - 7)], (222, 96, 66)
    )
    return canvas


def balloons(time):
    """One picture of the hills at ``time`` seconds."""
    pan = 14 * time
    canvas = sky((70, 140, 210), (214, 232, 236))
    for x, y, width in ((50, 40, 36), (150, 26, 30), (240, 52, 40), (330, 34, 34)):
        disc(canvas, (x - 0.3 * pan, y), width, (244, 246, 248), 0.25)
    ridge(canvas, 112, 22, ((210, 0.0), (90, 1.0)), 0.35 * pan, (110, 146, 176))
    ridge(canvas, 130, 16, ((150, 2.0), (61, 0.3)), 0.7 * pan, (96, 150, 96))
    ridge(canvas, 152, 12, ((120, 1.0), (47, 2.1)), pan, (70, 120, 58))
    for number in range(14):
        x, y = number * 33 - pan + 6 * (number % 3), 158 + 5 * (number % 4)
        disc(canvas, (x, y - 8), 7, (44, 92, 48))
        disc(canvas, (x - 2, y - 10), 4, (70, 126, 62))
    for left, top, radius, colours in (
        (92, 70, 30, ((214, 62, 48), (246, 198, 70))),
        (222, 56, 21, ((44, 84, 160), (238, 238, 228))),
        (298, 88, 14, ((150, 60, 130), (250, 160, 80))),
    ):
        x = left - (0.25 + radius / 90) * pan + 8 * time
        y = top - 4 * time + 2 * np.sin(2 * time + radius)
        wide, low, basket = 0.7 * radius, y + 0.7 * radius, y + 1.75 * radius
        polygon(canvas, [(x - wide, low), (x + wide, low), (x, y + 1.7 * radius)], colours[0])
        disc(canvas, (x, y), radius, colours[0], 1.08)
        for share, colour in ((0.72, colours[1]), (0.44, colours[0]), (0.16, colours[1])):
            around = np.linspace(0, 2 * np.pi, 40)
            outline = [x + share * radius * np.cos(around), y + 1.08 * radius * np.sin(around)]
            polygon(canvas, np.stack(outline, 1), colour)
        corners = [(x - 3, basket), (x + 3, basket), (x + 2.5, basket + 5), (x - 2.5, basket + 5)]
        polygon(canvas, corners, (96, 60, 34))
    return canvas


def waves(seconds, rate=44100):
    """(1, N) float32: noise that swells and fades, as on a beach."""
    noise = np.random.default_rng(5).normal(0, 1, int(seconds * rate)).astype(np.float32)
    softer = np.convolve(noise, np.hanning(60) / 30, "same")
    swell = 0.35 + 0.3 * np.sin(np.arange(len(noise)) / rate * 2 * np.pi * 0.7)
    return (0.2 * softer * swell).astype(np.float32)[None]


def write(path, picture, sound=None):
    """Encode FRAMES pictures, BT.709 limited range and tagged so, and the sound as AAC."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = (
            1,
            1,
            1,
            1,
        )
        audio = output.add_stream("aac", rate=44100, layout="mono") if sound is not None else None
        for number in range(FRAMES):
            canvas = picture(number / RATE)
            small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            frame = av.VideoFrame.from_ndarray(
                np.clip(small, 0, 255).astype(np.uint8), format="rgb24"
            )
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            for start in range(0, sound.shape[1], 1024):
                block = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(sound[:, start : start + 1024]), "fltp", "mono"
                )
                block.sample_rate, block.pts, block.time_base = 44100, start, Fraction(1, 44100)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))


def main():
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER / "boat.mp4", boat, waves(FRAMES / RATE))
    write(FOLDER / "balloons.mp4", balloons)


if __name__ == "__main__":
    main()
