"""Still pictures: colour profiles, HEIF, files of several pictures, and names."""

import io
import struct
import subprocess
import sys
import zlib

import cv2
import heif
import icc
import numpy as np
import pytest
from conftest import scene
from PIL import ExifTags
from PIL import Image as Pillow

from vidstyle import InputError, Style, open_sink, open_source
from vidstyle.inputs import resolve_output
from vidstyle.io import images
from vidstyle.io.image_names import is_numbered, is_still
from vidstyle.io.images import decode_image, read_image
from vidstyle.ops.tensors import to_image

PROFILES = {
    "display p3": (icc.DISPLAY_P3, icc.SRGB_CURVE),
    "adobe rgb": (icc.ADOBE_RGB, 2.19921875),
}


def saved(path, array, profile=None, mode=None, **options):
    """Write an array by Pillow, with a profile; returns the path."""
    Pillow.fromarray(array, mode).save(path, icc_profile=profile, **options)
    return path


def colours():
    """(32, 48, 3) uint8 blocks of 16 px, which JPEG keeps: greys, bright and dark colours."""
    blocks = [
        [(200, 60, 60), (60, 180, 60), (70, 70, 200)],
        [(128, 128, 128), (230, 220, 210), (30, 40, 20)],
    ]
    return np.kron(np.array(blocks, np.uint8), np.ones((16, 16, 1), np.uint8))


def levels_off(image, expected):
    """Largest difference in the middle of each block, in levels of 8 bits."""
    scale = 257 if image.dtype == np.uint16 else 1
    return np.abs(image[8::16, 8::16, :3] / scale - 255 * expected[8::16, 8::16]).max()


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_read_image_converts_a_colour_profile_to_srgb(tmp_path, name, ending):
    options = (
        {"quality": 100, "subsampling": 0}
        if ending == "jpg"
        else {"lossless": True}
        if ending == "webp"
        else {}
    )
    path = saved(tmp_path / f"in.{ending}", colours(), icc.rgb_profile(*PROFILES[name]), **options)
    expected = icc.in_srgb(colours() / 255, *PROFILES[name])
    assert levels_off(colours(), expected) > 15  # what ignoring it would cost
    off = 3 if ending == "jpg" else 1.5  # JPEG itself rounds; LittleCMS works in 8 bits here
    assert levels_off(read_image(path), expected) < off
    assert levels_off(decode_image(path.read_bytes()), expected) < off


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_read_image_keeps_the_colours_below_the_alpha_of_a_tiff(tmp_path, mode):
    alpha = np.full((32, 48, 1), 128, np.uint8)
    picture = Pillow.fromarray(np.dstack([colours(), alpha])).convert(mode)
    picture.save(tmp_path / "in.tif")
    assert np.array_equal(read_image(tmp_path / "in.tif"), np.asarray(picture.convert("RGBA")))
    colour = decode_image((tmp_path / "in.tif").read_bytes())
    assert np.array_equal(colour, np.asarray(picture.convert("RGBA"))[..., :3])


@pytest.mark.parametrize("mode", ["1", "L"])
def test_read_image_keeps_the_transparent_grey_of_a_png(tmp_path, mode):
    picture = Pillow.fromarray(np.where(scene()[..., 0] > 99, 255, 0).astype(np.uint8)).convert(
        mode
    )
    picture.save(tmp_path / "in.png", transparency=0)
    image = read_image(tmp_path / "in.png")
    assert np.array_equal(image[..., 3], image[..., 0]) and image[..., 3].any()
    assert not image[..., 3].all()


def test_read_image_refuses_a_tiff_of_floats_for_its_bits(tmp_path):
    cv2.imwrite(str(tmp_path / "in.tif"), scene().astype(np.float32))
    with pytest.raises(InputError, match=r"at most .* 16 bits per sample"):
        read_image(tmp_path / "in.tif")


def test_open_source_and_style_convert_a_colour_profile(tmp_path, features):
    profile = PROFILES["display p3"]
    expected = icc.in_srgb(colours() / 255, *profile)
    for number in (1, 2):
        path = saved(tmp_path / f"in_{number}.png", colours(), icc.rgb_profile(*profile))
    for name in (path, tmp_path / "in_%d.png"):
        with open_source(name) as source:
            assert all(levels_off(frame.image, expected) < 1.5 for frame in source)
    style = Style.from_images([path], features).images[0]
    plain = Style.from_images([(expected * 255).round().astype(np.uint8)], features).images[0]
    assert np.abs(to_image(style).astype(int) - to_image(plain)).max() <= 2


def test_read_image_keeps_16_bits_and_alpha_with_a_colour_profile(tmp_path):
    deep = np.linspace(0, 65535, 3 * 256).astype(np.uint16).reshape(1, 256, 3)
    image = np.dstack([np.repeat(deep, 4, 0), np.full((4, 256), 700, np.uint16)])
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
    block = zlib.compress(icc.rgb_profile(*PROFILES["adobe rgb"]))
    chunk = b"iCCP" + b"it\0\0" + block
    data = path.read_bytes()
    path.write_bytes(
        data[:33]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[33:]
    )
    read = read_image(path)
    assert read.dtype == np.uint16 and (read[..., 3] == 700).all()
    expected = icc.in_srgb(image[..., :3] / 65535, *PROFILES["adobe rgb"])
    assert np.abs(read[..., :3] / 257 - 255 * expected).max() < 1
    assert len(np.unique(read[..., 0])) > 200  # not only the levels of 8 bits


def test_read_image_converts_a_grey_profile(tmp_path):
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (8, 1))
    read = read_image(saved(tmp_path / "grey.png", grey, icc.grey_profile(1.0)))
    expected = icc.in_srgb(np.repeat(grey[..., None] / 255, 3, 2), icc.SRGB, 1.0)
    assert np.abs(read - 255 * expected).max() < 1.5


def test_read_image_converts_cmyk_and_applies_orientation(tmp_path):
    inks = np.zeros((32, 64, 4), np.uint8)
    inks[:, :32, 0] = 255  # one ink: half the lightness on this press, a grey
    exif = Pillow.Exif()
    exif[0x112] = 6
    path = saved(tmp_path / "in.jpg", inks, icc.cmyk_profile(), "CMYK", exif=exif, quality=100)
    read = read_image(path)
    assert read.shape == (64, 32, 3)
    assert (
        np.abs(read[:28].astype(int) - 118).max() < 5 and read[36:].min() > 250
    )  # L* 50 is 119 in sRGB


def test_read_image_ignores_an_srgb_profile_and_names_a_broken_one(tmp_path, caplog):
    srgb = icc.rgb_profile(icc.SRGB, icc.SRGB_CURVE)
    assert np.array_equal(read_image(saved(tmp_path / "srgb.png", scene(), srgb)), scene())
    assert not caplog.text
    for name, profile in (
        ("broken", srgb[:200]),
        ("rubbish", b"rubbish" * 9),
        ("grey", icc.grey_profile(2.2)),
    ):
        caplog.clear()
        assert np.array_equal(
            read_image(saved(tmp_path / f"{name}.png", scene(), profile)), scene()
        )
        assert f"{name}.png has a colour profile" in caplog.text and len(caplog.records) == 1


def test_read_image_warns_of_adobe_rgb_without_a_profile(tmp_path, caplog):
    exif = Pillow.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0xA001] = 0xFFFF
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    read_image(saved(tmp_path / "in.jpg", colours(), exif=exif))
    assert "in.jpg is in Adobe RGB without a profile" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    read_image(
        saved(tmp_path / "in.jpg", colours(), icc.rgb_profile(*PROFILES["adobe rgb"]), exif=exif)
    )
    assert not caplog.text


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "gif"])
def test_decode_image_uses_the_first_of_several_images_and_warns(
    tmp_path, features, caplog, ending
):
    several = [Pillow.fromarray(np.full((64, 64, 3), level, np.uint8)) for level in (10, 200)]
    path = tmp_path / f"several.{ending}"
    several[0].save(
        path,
        save_all=True,
        append_images=several[1:],
        **({"lossless": True} if ending == "webp" else {}),
    )
    Style.from_images([path], features)
    assert f"{path} has several images: only the first is used" in caplog.text
    caplog.clear()
    assert (
        decode_image(path.read_bytes(), "the picture") == 10
    ).all() and "only the first" in caplog.text
    if ending != "gif":  # which is a clip
        caplog.clear()
        with open_source(path) as source:
            assert len(list(source)) == 1 and "only the first" in caplog.text


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A HEIC file of six tiles, and its picture."""
    picture = np.kron(
        np.arange(40, 221, 36, dtype=np.uint8).reshape(2, 3, 1), np.ones((64, 64, 3), np.uint8)
    )
    path = tmp_path_factory.mktemp("heif") / "IMG_0001.HEIC"
    path.write_bytes(heif.tiled(picture))
    return path, picture


def test_open_source_refuses_heic_without_pillow_heif(photo, features, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path, _ = photo
    renamed = tmp_path / "photo"
    renamed.write_bytes(path.read_bytes())
    for name in (path, renamed):
        assert is_still(name)
        with pytest.raises(InputError, match=r"needs pillow-heif: pip install 'vidstyle\[heic\]'"):
            open_source(name)
    with pytest.raises(InputError, match=r"vidstyle\[heic\]"):
        Style.from_images([path], features)
    with pytest.raises(InputError, match=r"vidstyle\[heic\]"):
        decode_image(path.read_bytes(), "the image", max_px=1 << 20)


def test_open_source_joins_the_tiles_of_heic(photo, caplog):
    pytest.importorskip("pillow_heif")
    path, picture = photo
    with open_source(path) as source:
        (frame,) = source
    assert (
        frame.image.shape == picture.shape and np.abs(frame.image.astype(int) - picture).max() < 6
    )  # encoded with loss
    assert not caplog.text


def test_resolve_output_of_heic_in_a_folder_is_png(photo, tmp_path):
    path, _ = photo
    assert (
        resolve_output(str(path), str(tmp_path), into_folder=True, preview=False)
        == tmp_path / "IMG_0001.png"
    )


def test_open_source_reads_avif_with_alpha_profile_and_orientation(tmp_path):
    turned = np.dstack([colours(), np.full((32, 48), 90, np.uint8)])
    exif = Pillow.Exif()
    exif[0x112] = 6
    profile = PROFILES["display p3"]
    options = {"quality": 100, "subsampling": "4:4:4", "exif": exif, "speed": 10}
    path = saved(tmp_path / "in.avif", turned, icc.rgb_profile(*profile), **options)
    with open_source(path) as source:
        (frame,) = source
    assert frame.image.shape == (48, 32, 4) and (frame.image[..., 3] == 90).all()
    assert (
        levels_off(frame.image, np.rot90(icc.in_srgb(colours() / 255, *profile), -1)) < 6
    )  # encoded with loss


def test_open_source_reads_a_png_with_a_profile_from_a_pipe(tmp_path):
    path = saved(tmp_path / "in.png", colours(), icc.rgb_profile(*PROFILES["display p3"]))
    code = (
        "import gc; from vidstyle.io.source import open_source\n"
        "with open_source('-') as s: print(len(list(s)))\ngc.collect()"
    )
    with path.open("rb") as file:
        result = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, timeout=60, check=False
        )
    assert (result.returncode, result.stdout) == (0, b"1\n"), result.stderr


def png_header(width, height):
    """A PNG of a single grey colour: few bytes however large it is."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(b"\0" * (height * (width + 1)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def test_decode_image_refuses_too_many_pixels_before_decoding(monkeypatch):
    monkeypatch.setattr(images, "_imdecode", lambda *a: pytest.fail("it was decoded"))
    data = png_header(400, 300)
    with pytest.raises(
        InputError, match="the image has 400x300 px, more than 0 million: resize it"
    ):
        decode_image(data, "the image", max_px=400 * 300 - 1)
    assert decode_image(b"rubbish", "the image", max_px=1) is None
    huge = data[:16] + struct.pack(">II", 60000, 60000) + data[24:29]
    with pytest.raises(InputError, match="resize it"):
        decode_image(
            huge + struct.pack(">I", zlib.crc32(huge[12:29])) + data[33:],
            "the picture",
            max_px=1 << 25,
        )


def test_decode_image_reduces_a_large_jpeg_while_decoding(monkeypatch):
    monkeypatch.setattr(images, "REDUCED_SIDE_PX", 40)
    data = cv2.imencode(".jpg", cv2.cvtColor(scene(size=(160, 96)), cv2.COLOR_RGB2BGR))[1].tobytes()
    flags = []
    monkeypatch.setattr(
        images, "_imdecode", lambda *a, run=images._imdecode: flags.append(a[1]) or run(*a)
    )
    read = decode_image(data, max_px=160 * 96 // 4, reduced=True)
    assert read.shape == (24, 40, 3) and flags == [cv2.IMREAD_REDUCED_COLOR_4]
    small = cv2.resize(scene(size=(160, 96)), (40, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(read.astype(int) - small).mean() < 3
    png = cv2.imencode(".png", cv2.cvtColor(scene(size=(160, 96)), cv2.COLOR_RGB2BGR))[1].tobytes()
    assert np.array_equal(decode_image(png, reduced=True), small)
    assert decode_image(png).shape == (96, 160, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF", "HEIC"])
@pytest.mark.parametrize("count", [1, 2])
def test_read_image_refuses_a_damaged_file_in_one_line(tmp_path, photo, kind, count):
    if kind == "HEIC":
        pytest.importorskip("pillow_heif")
        data = photo[0].read_bytes()
    else:
        first, *more = [Pillow.fromarray(scene(number, (48, 32))) for number in range(count)]
        options = {"save_all": True, "append_images": more} if more and kind != "JPEG" else {}
        made = io.BytesIO()
        first.save(made, kind, icc_profile=icc.rgb_profile(*PROFILES["adobe rgb"]), **options)
        data = made.getvalue()
    rng = np.random.default_rng(1)
    for _ in range(30):
        damaged = np.frombuffer(data, np.uint8).copy()[: rng.integers(16, len(data) + 1)]
        damaged[rng.integers(0, len(damaged), 6)] = rng.integers(0, 256, 6)
        path = tmp_path / f"damaged.{kind.lower()}"
        path.write_bytes(damaged.tobytes())
        try:
            read_image(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_is_numbered_recognises_image_sequences_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out_%d.png", "%05d.png", "a%3d_b.tif", "50%d.png"):
        assert is_numbered(name), name
    for name in (
        "100%dope.png",
        "100%.png",
        "%s.png",
        "100%drei.png",
        "100%d\N{LATIN SMALL LETTER E WITH ACUTE}j\N{LATIN SMALL LETTER A WITH GRAVE}.png",
        "%d_%d.png",
    ):
        assert not is_numbered(name), name
    saved("out_%d.png", scene())
    assert not is_numbered("out_%d.png")  # a file's own name wins
    with open_source("out_%d.png") as source, open_sink("100%dope.png", source) as sink:
        sink.send(next(iter(source)))
    assert np.array_equal(read_image("100%dope.png"), scene())
    with pytest.raises(InputError, match=r"^no%dope.png does not exist"):
        open_source("no%dope.png")
    with pytest.raises(
        InputError, match=r"there is no file no_%d.png nor an image sequence like no_1.png"
    ):
        open_source("no_%d.png")
