"""Encoders: which one a clip gets, how it is set up, and whether it works here."""

import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import OutputError
from .color import from_rgb
from .container import reason_of, reasons
from .stream_info import ColorInfo, VideoInfo

os.environ.setdefault("SVT_LOG", "1")  # it would print its settings to stderr

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderSpec:
    """What one encoder of FFmpeg can do, and how it is asked to.

    Args:
        into: containers, by FFmpeg's names.
        pixels: pixel formats for 8 bits and for more.
        alpha: the same with alpha; none where it has none.
        crf: the usual constant rate factor; None where quality is fixed.
        quality: options that say the quality, with ``{}`` for the factor.
        options: all others.
        tag: four-character code in MP4, where the usual one is not understood everywhere.
        odd: whether sides may be odd.
        least: the smallest width and height it takes, in px.
    """

    into: tuple[str, ...]
    pixels: tuple[str, str]
    alpha: tuple[str, str] | tuple[()] = ()
    crf: int | None = None
    quality: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    odd: bool = False
    least: tuple[int, int] = (1, 1)


MP4, ANY = ("mp4", "mov", "matroska"), ("webm", "matroska", "mp4")
BITS_8, BITS_10 = ("yuv420p", "yuv420p"), ("yuv420p", "yuv420p10le")
NVENC, QSV, AMF = (
    {"rc": "constqp", "qp": "{}"},
    {"global_quality": "{}"},
    {"rc": "cqp", "qp_i": "{}", "qp_p": "{}"},
)
CRF = {"crf": "{}"}

CODECS: Mapping[str, EncoderSpec] = {
    # With its macroblock tree x264 gives other bits now and then for the same pictures: what is gone on with shall be the same.
    # Its usual preset, medium, takes twice the time of faster for the same quality in files some 7 % smaller, and beside a GPU
    # all else would wait for it. So it would if threads shared each picture, as PyAV asks for, in place of taking several.
    "libx264": EncoderSpec(
        MP4,
        BITS_10,
        (),
        17,
        CRF,
        {"preset": "faster", "thread_type": "frame", "x264-params": "mbtree=0"},
        least=(2, 2),
    ),
    "libx265": EncoderSpec(
        MP4,
        BITS_10,
        (),
        20,
        CRF,
        {"preset": "medium", "x265-params": "log-level=none"},
        "hvc1",
        least=(16, 16),
    ),
    "libsvtav1": EncoderSpec((*ANY, "mov"), BITS_10, (), 28, CRF, {"preset": "8"}, least=(4, 4)),
    "libvpx-vp9": EncoderSpec(
        ANY,
        BITS_8,
        ("yuva420p", "yuva420p"),
        28,
        CRF,
        {"b": "0", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0"},
        "",
        True,
    ),
    "prores_ks": EncoderSpec(
        ("mov", "matroska"),
        ("yuv422p10le", "yuv422p10le"),
        ("yuva444p10le", "yuva444p10le"),
        least=(2, 2),
    ),
    "ffv1": EncoderSpec(
        ("matroska",),
        ("bgr0", "gbrp16le"),
        ("bgra", "gbrap16le"),
        options={"level": "3", "slicecrc": "1"},
        odd=True,
        least=(2, 1),
    ),
    "h264_nvenc": EncoderSpec(MP4, BITS_8, (), 20, NVENC),
    "hevc_nvenc": EncoderSpec(MP4, ("yuv420p", "p010le"), (), 22, NVENC, tag="hvc1"),
    "av1_nvenc": EncoderSpec((*ANY, "mov"), ("yuv420p", "p010le"), (), 80, NVENC),
    "h264_qsv": EncoderSpec(MP4, ("nv12", "nv12"), (), 20, QSV),
    "hevc_qsv": EncoderSpec(MP4, ("nv12", "p010le"), (), 22, QSV, tag="hvc1"),
    "h264_amf": EncoderSpec(MP4, ("nv12", "nv12"), (), 20, AMF),
    "hevc_amf": EncoderSpec(MP4, ("nv12", "p010le"), (), 22, AMF, tag="hvc1"),
    "h264_videotoolbox": EncoderSpec(MP4, BITS_8, (), 65, {"q": "{}"}),
    "hevc_videotoolbox": EncoderSpec(MP4, ("yuv420p", "p010le"), (), 65, {"q": "{}"}, tag="hvc1"),
}
"""By FFmpeg's names of the encoders."""

USUAL = (("libx264", "libx265"), ("libvpx-vp9", "libsvtav1"))
"""For 8 bits and for more; the second row for WebM."""

ALIASES = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}

HARDWARE = ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox")
"""What ``hardware`` tries, in this order."""


def in_hardware(name: str) -> bool:
    """Whether an encoder is one of a graphics card or processor, which may not be there."""
    return name.endswith(tuple(name.split("_")[1] for name in HARDWARE))


CODEC_NAMES = (*sorted(ALIASES), "ffv1", "hardware", *filter(in_hardware, CODECS))
"""What may be asked for, besides FFmpeg's own names."""


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder set up for one clip.

    Args:
        name: FFmpeg's.
        pixels: its pixel format.
        options: its options.
        tag, odd: as in ``EncoderSpec``.
    """

    name: str
    pixels: str
    options: Mapping[str, str]
    tag: str = ""
    odd: bool = False

    @property
    def ending(self) -> str:
        """Of the files that segments are kept in: MP4 counts as finely as any source does, but does not take everything."""
        if (
            self.name == "libvpx-vp9" and self.pixels == "yuva420p"
        ):  # alpha lies beside the pictures, where MP4 has no place
            return ".mkv"
        return {"ffv1": ".mkv", "prores_ks": ".mov"}.get(self.name, ".mp4")


def select_encoder(
    codec: str | None, crf: int | None, container: str, format: VideoInfo
) -> EncoderConfig:
    """The encoder for a clip.

    Args:
        codec: as asked for: an alias, a name of FFmpeg's, ``hardware``, or None for the usual one of the container.
        crf: as asked for; None: the codec's usual.
        container: FFmpeg's name.
        format: of the source.

    Raises:
        ValueError: no such codec, or a ``crf`` it does not take.
        OutputError: the container cannot hold it, or the pictures are too small for it.
    """
    usual = USUAL[container == "webm"][format.bit_depth > 8]
    name = _working(ALIASES.get(codec, codec), usual) if codec else usual
    check_codec(name, crf)
    chosen = CODECS[name]
    if container not in chosen.into:
        endings = " or ".join(
            {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}[kind]
            for kind in chosen.into
        )
        raise OutputError(
            f"{name} does not go into this kind of file: end the output's name in {endings}"
        )
    _check_size(name, chosen, format.size)
    beside = name == "libvpx-vp9" and container not in (
        "webm",
        "matroska",
    )  # where there is no place for its alpha
    keeps = format.alpha and chosen.alpha and not beside
    if format.alpha and beside:
        log.warning(
            "alpha of %s is kept in .webm and .mkv only: what is transparent becomes opaque", name
        )
    elif format.alpha and not chosen.alpha:
        log.warning(
            "%s has no alpha: what is transparent becomes opaque; -c:v prores, ffv1 or vp9 keep it",
            name,
        )
    alpha, deep = bool(keeps), format.bit_depth > 8
    shallow, deeper = chosen.alpha if keeps and chosen.alpha else chosen.pixels
    pixels = deeper if deep else shallow
    if deep and pixels == shallow and name != "prores_ks":
        log.warning(
            "%s writes 8 bits here, the source has %d: -c:v hevc, av1, prores or ffv1 keep more",
            name,
            format.bit_depth,
        )
    factor = crf if crf is not None else chosen.crf
    options = {key: value.format(factor) for key, value in chosen.quality.items()} | dict(
        chosen.options
    )
    if name == "prores_ks":
        options |= {"profile": "4444" if alpha else "hq", "vendor": "apl0"}
    return EncoderConfig(
        name, pixels, options | _hdr10(name, options, format), chosen.tag, chosen.odd
    )


def _check_size(name: str, codec: EncoderSpec, size: tuple[int, int]) -> None:
    width, height = (side if codec.odd else side - side % 2 for side in size)
    if width < codec.least[0] or height < codec.least[1]:
        least = "{}x{}".format(*codec.least)
        raise OutputError(
            f"{name} takes pictures of {least} px and more, these are {size[0]}x{size[1]}: "
            "write to a .webm or .mkv file with -c:v vp9"
        )


def check_codec(codec: str | None, crf: int | None) -> None:
    """Find out whether a codec is one, and takes this quality.

    Raises:
        ValueError: it does not.
    """
    if crf is not None and not 0 <= crf <= 63:
        raise ValueError(f"crf is {crf}: it must be 0 (best) to 63")
    if codec in (None, "hardware"):
        return
    name = ALIASES.get(codec, codec)
    if name not in CODECS:
        raise ValueError(f"unknown codec {codec!r}: choose one of {', '.join(CODEC_NAMES)}")
    if crf is not None and CODECS[name].crf is None:
        raise ValueError(
            f"{codec} has one quality and takes no crf: leave it out, or choose another codec"
        )
    if crf is not None and crf > 51 and name in ("libx264", "libx265"):
        raise ValueError(f"crf is {crf}: for {codec} it must be 0 (best) to 51")


@lru_cache
def _working(name: str, usual: str) -> str:
    """The encoder asked for; where hardware does not truly encode here, the usual one."""
    candidates = _hardware(name)
    if not candidates:
        return name
    reasons_why = []
    for candidate in candidates:
        reason = probe_encoder(candidate)
        if reason is None:
            return candidate
        reasons_why.append(f"{candidate}: {reason}")
    log.warning("no encoder in hardware works here (%s): using %s", "; ".join(reasons_why), usual)
    return usual


def _hardware(name: str) -> tuple[str, ...]:
    """The encoders in hardware among which the one asked for is chosen; none where that is no such encoder."""
    if name == "hardware":
        return HARDWARE
    return (name,) if name in CODECS and in_hardware(name) else ()


def try_hardware(codec: str | None) -> None:
    """Try the encoders in hardware that a codec may mean. Their results are kept.

    To be called before a clip is opened: while a decoder is open FFmpeg says less, see
    ``container.reasons``.
    """
    any(probe_encoder(name) is None for name in _hardware(ALIASES.get(codec or "", codec or "")))


@lru_cache
def probe_encoder(name: str) -> str | None:
    """Encode one grey frame: why an encoder does not work here, or None where it does."""
    if name not in av.codecs_available:
        return "not in this build of FFmpeg"
    try:
        trial = trial_encoder(name)
        with reasons(), av.open(io.BytesIO(), "w", format="nut") as container:
            stream: Any = container.add_stream(name, rate=25, options=dict(trial.options))
            stream.width, stream.height, stream.pix_fmt = 256, 256, trial.pixels
            grey = np.full((256, 256, 3), 128, np.uint8)
            packets = stream.encode(
                from_rgb(grey, trial.pixels, ColorInfo(), VideoReformatter())
            ) + stream.encode(None)
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        return reason_of(error)
    return None if packets else "it gave nothing"


def trial_encoder(name: str) -> EncoderConfig:
    """An encoder as it would be set up for eight bits."""
    codec = CODECS[name]
    options = {key: value.format(codec.crf) for key, value in codec.quality.items()} | dict(
        codec.options
    )
    return EncoderConfig(name, codec.pixels[0], options)


def _hdr10(name: str, options: Mapping[str, str], format: VideoInfo) -> dict[str, str]:
    if format.light is None:
        return {}
    if name != "libx265":
        log.warning("%s writes no HDR10 metadata here: -c:v hevc does", name)
        return {}
    light, parameters = format.light, options["x265-params"] + ":hdr10=1:hdr10-opt=1"
    parameters += f":master-display={light.mastering}" if light.mastering else ""
    return {"x265-params": parameters + (f":max-cll={light.content}" if light.content else "")}
