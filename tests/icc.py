"""ICC profiles made for tests, and what LittleCMS has to make of them, computed in another way."""

import struct

import numpy as np

SRGB = np.array(
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]]
)
"""(3, 3) XYZ of red, green and blue under the connection space's D50; so are the others."""

DISPLAY_P3 = np.array(
    [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]
)
ADOBE_RGB = np.array(
    [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
)
PROPHOTO = np.array([[0.79767, 0.28804, 0.0], [0.13519, 0.71188, 0.0], [0.03135, 0.00009, 0.82491]])
D50 = (0.9642, 1.0, 0.8249)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def profile(space, tags, connection="XYZ "):
    """An ICC profile, version 4.3: colour space, {tag: its data}."""
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name.encode(), offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    kind = "prtr" if space == "CMYK" else "mntr"
    head = struct.pack(
        ">I4sI4s4s4s",
        offset + len(body),
        b"",
        0x04300000,
        kind.encode(),
        space.encode(),
        connection.encode(),
    )
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + fixed(*D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def curve(gamma):
    """A gamma, or the curve of sRGB where that is given."""
    kind, numbers = (3, gamma) if isinstance(gamma, tuple) else (0, (gamma,))
    return struct.pack(">4sIHH", b"para", 0, kind, 0) + fixed(*numbers)


def rgb_profile(colorants, gamma):
    tags = {
        f"{name}XYZ": b"XYZ \0\0\0\0" + fixed(*xyz)
        for name, xyz in zip("rgb", colorants, strict=True)
    }
    return profile(
        "RGB ",
        {
            **tags,
            **{f"{name}TRC": curve(gamma) for name in "rgb"},
            "wtpt": b"XYZ \0\0\0\0" + fixed(*D50),
        },
    )


def grey_profile(gamma):
    return profile("GRAY", {"kTRC": curve(gamma), "wtpt": b"XYZ \0\0\0\0" + fixed(*D50)})


def cmyk_profile():
    """Of a press whose inks are all grey: one halves the lightness, more than one make black."""
    corners = [100 if not inks else 50 if inks & (inks - 1) == 0 else 0 for inks in range(16)]
    straight = bytes(range(256))
    table = struct.pack(">4sIBBBB", b"mft1", 0, 4, 3, 2, 0) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += (
        straight * 4
        + b"".join(bytes((round(lightness * 2.55), 128, 128)) for lightness in corners)
        + straight * 3
    )
    return profile("CMYK", {"A2B0": table, "wtpt": b"XYZ \0\0\0\0" + fixed(*D50)}, "Lab ")


def linear(values, gamma):
    if not isinstance(gamma, tuple):
        return values**gamma
    power, a, b, c, d = gamma
    return np.where(values >= d, (a * values + b) ** power, c * values)


def in_srgb(values, colorants, gamma):
    """(..., 3) in [0, 1] of such a profile, as sRGB in [0, 1], clipped."""
    light = np.clip(linear(values, gamma) @ colorants @ np.linalg.inv(SRGB), 0, 1)
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
