"""Encoder selection: the encoder of a clip, its options, and whether it works on this machine."""

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

from ..errors import OutputError, SettingValueError
from ..runtime.scheduling import kept_scheduling
from .color import from_rgb
from .container import reason_of, reasons
from .stream_info import ColorInfo, VideoInfo

os.environ.setdefault("SVT_LOG", "1")  # it would print its settings to stderr

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderSpec:
    """Formats that an encoder of FFmpeg supports, and its options.

    Args:
        containers: FFmpeg's names of the containers that hold its output.
        pixels: pixel formats for 8 bits and for more.
        alpha: the same with alpha; empty where the encoder has none.
        crf: default constant rate factor; None where the quality is fixed.
        quality: options that set the quality, with ``{}`` for the factor.
        options: all other options.
        tag: four-character code in MP4, where players do not know the default.
        odd_sizes: whether width and height may be odd.
        min_size: smallest (width, height) in px.
    """

    containers: tuple[str, ...]
    pixels: tuple[str, str]
    alpha: tuple[str, str] | tuple[()] = ()
    crf: int | None = None
    quality: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    odd_sizes: bool = False
    min_size: tuple[int, int] = (1, 1)


MP4, ANY = ("mp4", "mov", "matroska"), ("webm", "matroska", "mp4")
BITS_8, BITS_10 = ("yuv420p", "yuv420p"), ("yuv420p", "yuv420p10le")
NVENC, QSV, AMF = (
    {"rc": "constqp", "qp": "{}"},
    {"global_quality": "{}"},
    {"rc": "cqp", "qp_i": "{}", "qp_p": "{}"},
)
CRF = {"crf": "{}"}

CODECS: Mapping[str, EncoderSpec] = {
    # Without macroblock tree x264 is deterministic, which resumed renders rely on. The preset
    # medium takes twice the time of faster for files 7 % smaller, and a GPU would wait for it.
    # Frame threads, in place of PyAV's slice threads, avoid such waits too.
    "libx264": EncoderSpec(
        MP4,
        BITS_10,
        (),
        17,
        CRF,
        {"preset": "faster", "thread_type": "frame", "x264-params": "mbtree=0"},
        min_size=(2, 2),
    ),
    "libx265": EncoderSpec(
        MP4,
        BITS_10,
        (),
        20,
        CRF,
        {"preset": "medium", "x265-params": "log-level=none"},
        "hvc1",
        min_size=(16, 16),
    ),
    "libsvtav1": EncoderSpec((*ANY, "mov"), BITS_10, (), 28, CRF, {"preset": "8"}, min_size=(4, 4)),
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
        min_size=(2, 2),
    ),
    "ffv1": EncoderSpec(
        ("matroska",),
        ("bgr0", "gbrp16le"),
        ("bgra", "gbrap16le"),
        options={"level": "3", "slicecrc": "1"},
        odd_sizes=True,
        min_size=(2, 1),
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
"""FFmpeg's name of an encoder -> its specification."""

DEFAULT_ENCODERS = (("libx264", "libx265"), ("libvpx-vp9", "libsvtav1"))
"""Default encoders for 8 bits and for more; the second row is for WebM."""

ALIASES = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}

HARDWARE = ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox")
"""Encoders that ``hardware`` tries, in this order."""


def is_hardware_encoder(name: str) -> bool:
    """Whether an encoder needs a graphics card or processor that may be missing."""
    return name.endswith(tuple(name.split("_")[1] for name in HARDWARE))


CODEC_NAMES = (*sorted(ALIASES), "ffv1", "hardware", *filter(is_hardware_encoder, CODECS))
"""Names that ``codec`` accepts besides FFmpeg's own."""


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder configured for one clip.

    Args:
        name: FFmpeg's name.
        pixels: pixel format.
        options: encoder options.
        tag, odd_sizes: as in ``EncoderSpec``.
    """

    name: str
    pixels: str
    options: Mapping[str, str]
    tag: str = ""
    odd_sizes: bool = False

    @property
    def ending(self) -> str:
        """File extension of segments: MP4, whose time base is as fine as any source's, where it
        holds the codec."""
        if self.name == "libvpx-vp9" and self.pixels == "yuva420p":
            return ".mkv"  # MP4 has no place for VP9's alpha
        return {"ffv1": ".mkv", "prores_ks": ".mov"}.get(self.name, ".mp4")


def select_encoder(
    codec: str | None,
    crf: int | None,
    container: str,
    format: VideoInfo,
    label: str | None = None,
) -> EncoderConfig:
    """Choose and configure the encoder of a clip.

    Args:
        codec: an alias, a name of FFmpeg's, ``hardware``, or None for the container's default.
        crf: constant rate factor; None for the codec's default.
        container: FFmpeg's name.
        format: of the source.
        label: what needs larger frames, for the error; None: the encoder.

    Raises:
        ValueError: an unknown codec, or a ``crf`` that it does not take.
        OutputError: the container cannot hold the codec, or the frames are too small for it.
    """
    usual = DEFAULT_ENCODERS[container == "webm"][format.bit_depth > 8]
    name = _working_encoder(ALIASES.get(codec, codec), usual) if codec else usual
    check_codec(name, crf)
    chosen = CODECS[name]
    if container not in chosen.containers:
        endings = " or ".join(
            {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}[kind]
            for kind in chosen.containers
        )
        raise OutputError(
            f"{name} is not supported in this container: end the output's name in {endings}"
        )
    _check_size(label or name, chosen, format.size)
    drops_alpha = name == "libvpx-vp9" and container not in ("webm", "matroska")
    keeps = format.alpha and chosen.alpha and not drops_alpha
    if format.alpha and drops_alpha:
        log.warning("%s keeps alpha in .webm and .mkv only: alpha is dropped", name)
    elif format.alpha and not chosen.alpha:
        log.warning("%s has no alpha: alpha is dropped; -c:v prores, ffv1 or vp9 keep it", name)
    alpha, deep = bool(keeps), format.bit_depth > 8
    shallow, deeper = chosen.alpha if keeps and chosen.alpha else chosen.pixels
    pixels = deeper if deep else shallow
    if deep and pixels == shallow and name != "prores_ks":
        log.warning(
            "%s encodes 8 bits here, the source has %d: -c:v hevc, av1, prores or ffv1 keep more",
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
        name, pixels, options | _hdr10(name, options, format), chosen.tag, chosen.odd_sizes
    )


def _check_size(label: str, codec: EncoderSpec, size: tuple[int, int]) -> None:
    width, height = (side if codec.odd_sizes else side - side % 2 for side in size)
    if width < codec.min_size[0] or height < codec.min_size[1]:
        min_size = "{}x{}".format(*codec.min_size)
        raise OutputError(
            f"{label} needs frames of at least {min_size} px, not {size[0]}x{size[1]}: "
            "write to a .webm or .mkv file with -c:v vp9"
        )


def check_codec(codec: str | None, crf: int | None) -> None:
    """Check a codec name and a constant rate factor.

    Raises:
        ValueError: the codec is unknown, or does not take this factor.
    """
    if crf is not None and not 0 <= crf <= 63:
        raise SettingValueError(f"crf is {crf}: it must be 0 (best) to 63", "crf")
    if codec in (None, "hardware"):
        return
    name = ALIASES.get(codec, codec)
    if name not in CODECS:
        raise ValueError(f"unknown codec {codec!r}: choose one of {', '.join(CODEC_NAMES)}")
    if crf is not None and CODECS[name].crf is None:
        raise ValueError(f"{codec} takes no crf: leave it out, or choose another codec")
    if crf is not None and crf > 51 and name in ("libx264", "libx265"):
        raise ValueError(f"crf is {crf}: for {codec} it must be 0 (best) to 51")


@lru_cache
def _working_encoder(name: str, usual: str) -> str:
    """The requested encoder; ``usual`` where no hardware encoder works on this machine."""
    candidates = _hardware_candidates(name)
    if not candidates:
        return name
    reasons_why = []
    for candidate in candidates:
        reason = probe_encoder(candidate)
        if reason is None:
            return candidate
        reasons_why.append(f"{candidate}: {reason}")
    log.warning(
        "no hardware encoder works on this machine (%s): using %s", "; ".join(reasons_why), usual
    )
    return usual


def _hardware_candidates(name: str) -> tuple[str, ...]:
    """The hardware encoders that a name stands for; none where it names a software encoder."""
    if name == "hardware":
        return HARDWARE
    return (name,) if name in CODECS and is_hardware_encoder(name) else ()


def try_hardware(codec: str | None) -> None:
    """Probe the hardware encoders that a codec may stand for, and cache the results.

    Call this before a clip is opened: FFmpeg's log is off while a decoder is open, see
    ``container.reasons``.
    """
    any(
        probe_encoder(name) is None
        for name in _hardware_candidates(ALIASES.get(codec or "", codec or ""))
    )


@lru_cache
def probe_encoder(name: str) -> str | None:
    """Encode one grey frame. Returns why the encoder does not work on this machine, or None."""
    if name not in av.codecs_available:
        return "not in this build of FFmpeg"
    try:
        trial = trial_encoder(name)
        with (
            reasons(),
            kept_scheduling(),
            av.open(io.BytesIO(), "w", format="nut") as container,
        ):
            stream: Any = container.add_stream(name, rate=25, options=dict(trial.options))
            stream.width, stream.height, stream.pix_fmt = 256, 256, trial.pixels
            grey = np.full((256, 256, 3), 128, np.uint8)
            packets = stream.encode(
                from_rgb(grey, trial.pixels, ColorInfo(), VideoReformatter())
            ) + stream.encode(None)
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        return reason_of(error)
    return None if packets else "it encoded nothing"


def trial_encoder(name: str) -> EncoderConfig:
    """An encoder configured for 8 bits."""
    codec = CODECS[name]
    options = {key: value.format(codec.crf) for key, value in codec.quality.items()} | dict(
        codec.options
    )
    return EncoderConfig(name, codec.pixels[0], options)


def _hdr10(name: str, options: Mapping[str, str], format: VideoInfo) -> dict[str, str]:
    if format.hdr_metadata is None:
        return {}
    if name != "libx265":
        log.warning("%s cannot write HDR10 metadata here: -c:v hevc can", name)
        return {}
    metadata, parameters = format.hdr_metadata, options["x265-params"] + ":hdr10=1:hdr10-opt=1"
    parameters += f":master-display={metadata.mastering}" if metadata.mastering else ""
    return {
        "x265-params": parameters + (f":max-cll={metadata.content}" if metadata.content else "")
    }
