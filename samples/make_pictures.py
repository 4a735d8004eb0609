"""Draw the two sample images: python samples/make_pictures.py

street.jpg: gabled houses with windows along a canal, mirrored in it.
portrait.jpg: a woman with a scarf by a window.
These and a frame of each clip are the contents of the gallery: water, hills, architecture, a face.
"""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
FOLDER = Path(__file__).parent / "pictures"


def gradient(top, bottom):
    """(H, W, 3) float, from one colour above to another below."""
    share = np.linspace(0, 1, HEIGHT)[:, None, None]
    return np.repeat(np.array(top) * (1 - share) + np.array(bottom) * share, WIDTH, axis=1)


def clouds(random, cells):
    """(H, W) in about [-1, 1]: soft noise at several scales."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(4):
        coarse = random.uniform(-1, 1, ((cells << octave) * 2, cells << octave)).astype(np.float32)
        total += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / 1.9


def polygon(canvas, points, colour):
    cv2.fillPoly(
        canvas,
        [np.round(np.array(points) * 16).astype(np.int32)],
        tuple(map(float, colour)),
        cv2.LINE_AA,
        4,
    )


def blob(canvas, centre, radii, colour, turn=0.0, soft=0.0, opacity=1.0):
    """An ellipse, its edge blurred by ``soft`` px."""
    mask = np.zeros(canvas.shape[:2], np.float32)
    around = np.linspace(0, 2 * np.pi, 180)
    outline = np.stack([radii[0] * np.cos(around), radii[1] * np.sin(around)], 1)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    cv2.fillPoly(
        mask, [np.round((outline @ rotation + centre) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4
    )
    if soft:
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
    canvas[:] = canvas + (np.array(colour) - canvas) * (mask * opacity)[..., None]


def house(canvas, random, left, right, roof, street, colour):
    """A gabled house with rows of windows, lit from the left."""
    middle, gable = (left + right) / 2, roof - 0.45 * (right - left)
    polygon(canvas, [(left, street), (left, roof), (right, roof), (right, street)], colour)
    polygon(canvas, [(left, roof), (middle, gable), (right, roof)], np.array(colour) * 0.92)
    polygon(
        canvas,
        [(left - 5, roof + 3), (middle, gable - 8), (middle, gable + 1), (left + 2, roof + 5)],
        (120, 62, 48),
    )
    polygon(
        canvas,
        [(right + 5, roof + 3), (middle, gable - 8), (middle, gable + 1), (right - 2, roof + 5)],
        (84, 44, 40),
    )
    polygon(
        canvas,
        [(right - 6, street), (right - 6, roof), (right, roof), (right, street)],
        np.array(colour) * 0.7,
    )
    count = max(2, int((right - left) // 30))
    gap = (right - left - 8) / count
    rows = np.arange(roof + 14, street - 44, 44)
    for y in (*rows, roof - 20):
        for column in range(count) if y >= roof else [(count - 1) / 2]:
            x = left + 4 + gap * (column + 0.5)
            polygon(
                canvas,
                [(x - 9, y - 2), (x + 9, y - 2), (x + 9, y + 26), (x - 9, y + 26)],
                (238, 232, 218),
            )
            pane = (250, 214, 130) if random.uniform() < 0.2 else (52, 66, 84)
            for dx, dy in ((-7, 0), (1, 0), (-7, 13), (1, 13)):
                polygon(
                    canvas,
                    [
                        (x + dx, y + dy),
                        (x + dx + 6, y + dy),
                        (x + dx + 6, y + dy + 11),
                        (x + dx, y + dy + 11),
                    ],
                    pane,
                )
    door, lintel = (middle - 9, middle + 9), street - 34
    polygon(
        canvas,
        [(door[0], street), (door[0], lintel), (door[1], lintel), (door[1], street)],
        (70, 48, 40),
    )


def street(random):
    """Houses along a canal."""
    canvas = gradient((96, 150, 206), (232, 226, 208))
    canvas += (
        np.clip(clouds(random, 3), 0, 1)[..., None] * (np.array((250, 248, 244)) - canvas) * 0.9
    )
    polygon(canvas, [(420, 330), (420, 120), (436, 70), (452, 120), (452, 330)], (150, 132, 112))
    polygon(canvas, [(416, 122), (436, 34), (456, 122)], (66, 84, 92))
    colours = [
        (214, 140, 92),
        (226, 206, 160),
        (168, 92, 78),
        (236, 222, 206),
        (206, 168, 84),
        (142, 156, 150),
        (200, 120, 96),
    ]
    left, quay = -18.0, 332
    for colour in colours:
        right = left + random.uniform(84, 118)
        house(canvas, random, left, right, random.uniform(150, 215), quay, colour)
        left = right
    polygon(canvas, [(0, quay), (WIDTH, quay), (WIDTH, quay + 14), (0, quay + 14)], (128, 120, 110))
    y, x = np.mgrid[quay + 14 : HEIGHT, :WIDTH].astype(np.float32)
    depth = y - quay - 14
    wave = np.sin(depth**0.8 * 1.1 + x / 37 + 2 * np.sin(x / 61)) * (1 + depth / 40)
    mirrored = cv2.remap(
        canvas.astype(np.float32),
        x + 2 * wave,
        np.clip(quay - 1.6 * depth + wave, 0, quay),
        cv2.INTER_LINEAR,
    )
    canvas[quay + 14 :] = 0.62 * mirrored + 0.38 * np.array((40, 74, 88)) + 5 * wave[..., None]
    for place in (76, 268, 586):
        polygon(
            canvas,
            [(place - 3, quay + 4), (place - 2, 282), (place + 2, 282), (place + 3, quay + 4)],
            (72, 52, 40),
        )
        for _ in range(150):
            angle, radius = random.uniform(0, 2 * np.pi), 36 * random.uniform() ** 0.5
            leaf = np.array((64, 104, 50)) + random.uniform(-24, 40) * np.array((1, 1, 0.5))
            blob(
                canvas[200:330],
                (place + radius * np.cos(angle), 62 + 0.9 * radius * np.sin(angle)),
                (5, 4),
                leaf,
                random.uniform(0, 3),
            )
    return canvas + random.normal(0, 2.5, canvas.shape)


def portrait(random):
    """A woman with a scarf, light from a window on the left."""
    canvas = gradient((92, 100, 96), (58, 60, 62))
    light = np.exp(-(((np.mgrid[:HEIGHT, :WIDTH][1] - 60) / 260) ** 2))
    canvas += (light * (70 + 12 * clouds(random, 4)))[..., None] * np.array((1.0, 0.92, 0.76))
    for edge in (30, 122):
        polygon(
            canvas, [(edge, 40), (edge + 84, 40), (edge + 84, 250), (edge, 250)], (206, 222, 230)
        )
    skin, shade = np.array((226, 176, 144)), np.array((150, 92, 74))
    blob(canvas, (352, 236), (124, 158), (58, 36, 28), soft=3)
    for _ in range(220):
        angle = random.uniform(np.pi * 0.85, np.pi * 2.15)
        spot = (352 + 112 * np.cos(angle), 236 + 142 * np.sin(angle))
        blob(
            canvas,
            spot,
            (26, 2),
            np.array((74, 48, 36)) + random.uniform(-24, 44),
            angle + 1.5,
            0.6,
            0.7,
        )
    blob(canvas, (352, 560), (236, 170), (132, 40, 44), soft=1)
    blob(canvas, (352, 400), (50, 76), shade * 1.1, soft=3)
    blob(canvas, (348, 250), (84, 114), skin, soft=1.5)
    blob(canvas, (408, 262), (40, 106), shade, 0.05, 22, 0.8)
    blob(canvas, (306, 292), (26, 20), (236, 152, 128), soft=10, opacity=0.7)
    blob(canvas, (348, 168), (96, 46), (62, 40, 30), 0.12, 4)
    for x, tilt in ((310, -0.03), (382, 0.03)):
        blob(canvas, (x, 222), (24, 5), (76, 46, 34), tilt, 1.5)
        blob(canvas, (x, 244), (20, 9), (240, 232, 224), tilt, 1)
        blob(canvas, (x + 2, 244), (8.5, 9), (66, 96, 84), soft=0.6)
        blob(canvas, (x + 2, 244), (4, 4.5), (18, 16, 18), soft=0.5)
        blob(canvas, (x, 241), (2, 2), (252, 250, 246))
        blob(canvas, (x, 236), (22, 3.5), (64, 38, 30), tilt, 1)
    blob(canvas, (352, 276), (7, 32), (196, 134, 106), -0.05, 4, 0.8)
    blob(canvas, (350, 300), (17, 8), (190, 122, 98), soft=3)
    for x in (341, 359):
        blob(canvas, (x, 303), (4, 2.5), (110, 58, 48), soft=1)
    blob(canvas, (348, 330), (28, 7), (176, 62, 62), soft=1.5)
    blob(canvas, (348, 339), (20, 5), (206, 96, 90), soft=2)
    blob(canvas, (348, 330), (25, 1.4), (104, 34, 38), soft=0.7)
    for number in range(46):
        along, fold = number / 45, random.uniform(-1, 1)
        spot = (250 + 210 * along, 424 + 34 * np.sin(np.pi * along) + 16 * fold)
        colour = np.array(
            ((40, 96, 140), (228, 190, 92), (56, 126, 160))[number % 3]
        ) * random.uniform(0.75, 1.1)
        blob(canvas, spot, (40, 9), colour, 0.5 - along, 1.2)
    return canvas + random.normal(0, 2.5, canvas.shape)


def main():
    FOLDER.mkdir(exist_ok=True)
    for seed, painter in enumerate((street, portrait), 1):
        picture = np.clip(painter(np.random.default_rng(seed)), 0, 255).astype(np.uint8)
        cv2.imwrite(
            str(FOLDER / f"{painter.__name__}.jpg"),
            picture[..., ::-1],
            [cv2.IMWRITE_JPEG_QUALITY, 90],
        )


if __name__ == "__main__":
    main()
