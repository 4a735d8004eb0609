"""Draw the eight style images from seeds: python samples/make_styles.py

strokes.jpg: oil strokes along a flow field. paper.jpg: layers of cut paper. ink.jpg: brush and ink.
mosaic.jpg: glazed tiles in rows along a flow field. watercolor.jpg: wet washes with dark rims.
engraving.jpg: lines of varying width, crosshatched in the shadows. dots.jpg: pointillist dots of
pure colours. glass.jpg: leaded stained glass.
"""

from pathlib import Path

import cv2
import numpy as np

SIZE = 640
FOLDER = Path(__file__).parent / "styles"


def smooth_noise(random, cells, size=SIZE):
    """(size, size) in about [-1, 1], one bump per cell."""
    coarse = random.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
    field = cv2.resize(
        coarse, (size + size // cells, size + size // cells), interpolation=cv2.INTER_CUBIC
    )
    return field[:size, :size]


def flow_angles(random, cells=3):
    """A direction for every pixel, swirling: across the slope of a smooth hill."""
    hill = cv2.GaussianBlur(smooth_noise(random, cells), (0, 0), SIZE / 30)
    return np.arctan2(
        cv2.Sobel(hill, cv2.CV_32F, 1, 0, ksize=5), -cv2.Sobel(hill, cv2.CV_32F, 0, 1, ksize=5)
    )


def ramp(colours, position):
    """Colour (RGB floats) at a position in [0, 1] of an evenly spaced palette."""
    place = np.clip(position, 0, 1) * (len(colours) - 1)
    low = int(min(place, len(colours) - 2))
    return np.array(colours[low]) + (np.array(colours[low + 1]) - np.array(colours[low])) * (
        place - low
    )


def follow(angles, x, y, steps, stride):
    """Points of a line that starts at (x, y) and goes where the angles point."""
    points = []
    for _ in range(steps):
        points.append((x, y))
        angle = angles[int(np.clip(y, 0, SIZE - 1)), int(np.clip(x, 0, SIZE - 1))]
        x, y = x + stride * np.cos(angle), y + stride * np.sin(angle)
    return np.array(points)


def draw_line(canvas, points, colour, width):
    cv2.polylines(
        canvas, [np.round(points * 16).astype(np.int32)], False, colour, width, cv2.LINE_AA, 4
    )


def strokes(random):
    """Oil paint: bundles of bristles along a swirling flow, broad below and fine on top."""
    palette = [
        (18, 38, 74),
        (32, 84, 130),
        (70, 140, 160),
        (222, 190, 104),
        (226, 122, 50),
        (150, 44, 40),
    ]
    angles, colour_map = flow_angles(random), (smooth_noise(random, 4) + 1) / 2
    canvas = np.full((SIZE, SIZE, 3), (30, 50, 80), np.float32)
    for count, width, length in ((900, 16, 26), (1500, 10, 20), (2200, 6, 14)):
        for _ in range(count):
            x, y = random.uniform(0, SIZE, 2)
            points = follow(angles, x, y, length, 4)
            base = ramp(palette, colour_map[int(y), int(x)] + random.normal(0, 0.07))
            across = np.stack([-np.sin(angles[int(y), int(x)]), np.cos(angles[int(y), int(x)])])
            for offset in np.arange(-width / 2, width / 2 + 1, 2):
                light = (
                    random.normal(0, 16) + 26 * (offset < -width / 3) - 26 * (offset > width / 3)
                )
                end = length - random.integers(0, length // 3)
                draw_line(canvas, points[:end] + across * offset, tuple((base + light).tolist()), 2)
    return canvas


def paper(random):
    """Cut paper: flat leaves and pebbles in layers, each throwing a soft shadow."""
    palette = [
        (240, 226, 196),
        (220, 80, 60),
        (245, 180, 60),
        (40, 110, 120),
        (28, 52, 84),
        (150, 190, 160),
        (236, 140, 130),
    ]
    canvas = np.full((SIZE, SIZE, 3), palette[0], np.float32)
    for number in range(90):
        radius, turn = random.uniform(40, 120) * (1 - number / 130), random.uniform(0, 2 * np.pi)
        centre, around = random.uniform(0, SIZE, 2), np.linspace(0, 2 * np.pi, 160)
        lobes, depth = random.integers(2, 7), random.uniform(0.05, 0.4)
        outline = radius * (1 + depth * np.cos(lobes * around + turn))
        stretch = random.uniform(0.35, 1)
        shape = np.stack([outline * np.cos(around), stretch * outline * np.sin(around)], 1)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        mask = np.zeros((SIZE, SIZE), np.float32)
        cv2.fillPoly(
            mask, [np.round((shape @ matrix.T + centre) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4
        )
        shadow = np.roll(cv2.GaussianBlur(mask, (0, 0), 4), (5, 4), (0, 1))[..., None]
        canvas = canvas * (1 - 0.45 * shadow)
        colour = np.array(palette[random.integers(len(palette))]) + random.normal(0, 5, 3)
        canvas = canvas * (1 - mask[..., None]) + colour * mask[..., None]
    return canvas + random.normal(0, 3, (SIZE, SIZE, 1))


def ink(random):
    """Brush and ink: washes, then strokes that swell and run dry, on warm paper."""
    sheet = (
        np.full((SIZE, SIZE, 3), (238, 229, 208), np.float32)
        + 5 * smooth_noise(random, 40)[..., None]
    )
    black, angles = np.zeros((SIZE, SIZE), np.float32), flow_angles(random, 2)
    for _ in range(26):
        wash = np.zeros_like(black)
        points = follow(angles, *random.uniform(0, SIZE, 2), 40, 6)
        draw_line(wash, points, random.uniform(0.1, 0.28), int(random.integers(24, 60)))
        black = np.maximum(black, 0.8 * black + cv2.GaussianBlur(wash, (0, 0), 5))
    for _ in range(150):
        points = follow(
            angles + random.normal(0, 0.25),
            *random.uniform(0, SIZE, 2),
            int(random.integers(20, 60)),
            4,
        )
        broad, dark = random.uniform(3, 15), random.uniform(0.6, 1)
        for hair in np.arange(-1, 1.01, 0.12):
            normal = np.gradient(points, axis=0)[:, ::-1] * (1, -1) / 4
            swell = np.sin(np.linspace(0.15, np.pi, len(points)))[:, None]
            line = points + normal * hair * broad * swell
            end = len(points) - int(abs(random.normal(0, len(points) / 6)))
            draw_line(black, line[:end], dark, 2)
    black = np.clip(black, 0, 1)[..., None]
    return sheet * (1 - black) + np.array((22, 24, 38)) * black


def mosaic(random):
    """Tiles: seeds in rows along a flow, each with its own glaze and a dark joint around it."""
    palette = [
        (20, 60, 110),
        (40, 130, 170),
        (130, 200, 200),
        (240, 235, 215),
        (235, 180, 60),
        (190, 70, 40),
    ]
    angles, colour_map = flow_angles(random, 2), (smooth_noise(random, 3) + 1) / 2
    seeds = []
    taken = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(1400):
        for x, y in follow(angles, *random.uniform(0, SIZE, 2), 14, 15):
            if 0 <= x < SIZE and 0 <= y < SIZE and not taken[int(y), int(x)]:
                cv2.circle(taken, (int(x), int(y)), 12, 1, -1)
                seeds.append((x, y))
    division = cv2.Subdiv2D((0, 0, SIZE, SIZE))
    division.insert([(float(x), float(y)) for x, y in seeds])
    canvas = np.full((SIZE, SIZE, 3), (44, 38, 36), np.float32)
    for cell, (x, y) in zip(*division.getVoronoiFacetList([]), strict=True):
        shade = ramp(
            palette,
            colour_map[int(np.clip(y, 0, SIZE - 1)), int(np.clip(x, 0, SIZE - 1))]
            + random.normal(0, 0.08),
        )
        shrunk = (x, y) + (cell - (x, y)) * (1 - 2.2 / 13)
        for inset, light in ((1.0, -14), (0.86, 6), (0.6, 18)):
            part = (x, y) + (shrunk - (x, y)) * inset
            colour = tuple((shade + light + random.normal(0, 4)).tolist())
            cv2.fillPoly(canvas, [np.round(part * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    return canvas


def watercolor(random):
    """Watercolour: transparent washes on wet paper, with dense pigment at rims and in the grain."""
    palette = [
        (30, 90, 160),
        (20, 140, 150),
        (200, 60, 90),
        (240, 170, 40),
        (90, 60, 140),
        (60, 120, 50),
    ]
    grain = (
        cv2.GaussianBlur(random.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 1.2) * 2.5
    )
    colour_map = (smooth_noise(random, 3) + 1) / 2
    light = np.full((SIZE, SIZE, 3), 0.97, np.float32) * np.array((1.0, 0.985, 0.95), np.float32)
    for number in range(110):
        radius = random.uniform(25, 150) * (1 - number / 150)
        x, y = random.uniform(0, SIZE, 2)
        around = np.linspace(0, 2 * np.pi, 240, endpoint=False)
        lobes = sum(
            random.normal(0, 0.25 / k) * np.cos(k * around + random.uniform(0, 6))
            for k in range(2, 12)
        )
        outline = radius * (1 + lobes)
        points = np.stack([x + outline * np.cos(around), y + 0.7 * outline * np.sin(around)], 1)
        mask = np.zeros((SIZE, SIZE), np.float32)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        wash = cv2.GaussianBlur(mask, (0, 0), random.choice([1.0, 1.5, 7.0], p=[0.4, 0.4, 0.2]))
        rim = wash * (1 - cv2.GaussianBlur(mask, (0, 0), 5))
        shade = ramp(palette, colour_map[int(y), int(x)] + random.normal(0, 0.15)) / 255
        amount = (
            random.uniform(0.12, 0.5) * wash * (1 + 0.5 * smooth_noise(random, 9))
            + 0.8 * rim * wash
        )
        light *= np.exp(np.log(np.clip(shade, 0.05, 1)) * (amount * (1 + 0.15 * grain))[..., None])
    return 255 * light


def engraving(random):
    """Copper engraving: lines along the form, wider in dark tones, crosshatched in the darkest."""
    tone = np.clip(0.42 + 0.6 * smooth_noise(random, 5) + 0.3 * smooth_noise(random, 13), 0, 1)
    bend = 26 * smooth_noise(random, 3)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    dark = np.zeros((SIZE, SIZE), np.float32)
    for angle, period, least in ((0.5, 9.0, 0.0), (1.9, 9.0, 0.45), (1.2, 7.0, 0.75)):
        across = (x * np.sin(angle) + y * np.cos(angle) + bend) / period
        distance = np.abs(across - np.round(across)) * period
        width = 2.9 * np.clip((tone - least) / (1 - least), 0, 1) + np.where(tone > least, 0.35, -1)
        dark = np.maximum(dark, np.clip(width - distance + 0.5, 0, 1))
    sheet = np.array((243, 234, 214)) + 4 * smooth_noise(random, 40)[..., None]
    return sheet * (1 - dark[..., None]) + np.array((40, 24, 22)) * dark[..., None]


def dots(random):
    """Pointillism: round dots of nearly pure colours and complements, denser and smaller on top."""
    palette = [
        (24, 40, 120),
        (30, 110, 190),
        (70, 180, 170),
        (240, 215, 90),
        (245, 150, 40),
        (215, 60, 70),
    ]
    colour_map = np.clip((smooth_noise(random, 3) + 0.4 * smooth_noise(random, 8) + 1) / 2, 0, 1)
    canvas = np.full((SIZE, SIZE, 3), (232, 224, 205), np.float32)
    for count, radius in ((5200, 6.5), (8000, 4.6), (9000, 3.4)):
        for _ in range(count):
            x, y = random.uniform(0, SIZE, 2)
            place = colour_map[int(y), int(x)] + random.normal(0, 0.06)
            if random.random() < 0.16:  # its complement beside a colour makes both glow
                place = (place + 0.5) % 1
            colour = ramp(palette, place) + random.normal(0, 10, 3)
            axes = radius * random.uniform(0.75, 1.15, 2)
            centre, spread = np.round([x * 16, y * 16]).astype(int), np.round(axes * 16).astype(int)
            cv2.ellipse(
                canvas,
                centre.tolist(),
                spread.tolist(),
                random.uniform(0, 180),
                0,
                360,
                colour.tolist(),
                -1,
                cv2.LINE_AA,
                4,
            )
    return canvas


def glass(random):
    """Stained glass: backlit uneven panes in lead with faint highlights."""
    palette = [
        (20, 50, 140),
        (20, 120, 160),
        (30, 140, 80),
        (240, 190, 50),
        (220, 90, 30),
        (160, 20, 50),
    ]
    colour_map = (smooth_noise(random, 3) + 1) / 2
    division = cv2.Subdiv2D((0, 0, SIZE, SIZE))
    places = [
        (x + random.uniform(-24, 24), y + random.uniform(-24, 24))
        for x in range(30, SIZE, 64)
        for y in range(30, SIZE, 64)
    ]
    division.insert(
        [(float(np.clip(x, 1, SIZE - 2)), float(np.clip(y, 1, SIZE - 2))) for x, y in places]
    )
    canvas, lead = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32)
    for cell, (x, y) in zip(*division.getVoronoiFacetList([]), strict=True):
        colour = ramp(palette, colour_map[int(y), int(x)] + random.normal(0, 0.16))
        corners = [np.round(cell * 16).astype(np.int32)]
        cv2.fillPoly(canvas, corners, (colour + random.normal(0, 8, 3)).tolist(), cv2.LINE_AA, 4)
        cv2.polylines(lead, corners, True, 1.0, 9, cv2.LINE_AA, 4)
    streaks = cv2.GaussianBlur(
        random.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 2.5, sigmaY=14
    )
    light = 0.95 + 0.28 * smooth_noise(random, 6) + 1.6 * streaks
    metal = (
        np.array((34, 34, 40))
        + 26 * np.clip(cv2.GaussianBlur(lead, (0, 0), 3) - 0.55, 0, 1)[..., None] * 4
    )
    lead = np.clip(cv2.GaussianBlur(lead, (0, 0), 0.8), 0, 1)[..., None]
    return np.clip(canvas * light[..., None], 0, 255) * (1 - lead) + metal * lead


def main():
    FOLDER.mkdir(exist_ok=True)
    for seed, painter in enumerate(
        (strokes, paper, ink, mosaic, watercolor, engraving, dots, glass), 1
    ):
        canvas = painter(np.random.default_rng(seed))
        picture = np.clip(canvas, 0, 255).astype(np.uint8)
        picture = cv2.resize(picture, (512, 512), interpolation=cv2.INTER_AREA)
        cv2.imwrite(
            str(FOLDER / f"{painter.__name__}.jpg"),
            picture[..., ::-1],
            [cv2.IMWRITE_JPEG_QUALITY, 90],
        )


if __name__ == "__main__":
    main()
