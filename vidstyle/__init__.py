"""vidstyle: neural style transfer for video, by optimising every frame.

import vidstyle as vs

features = vs.load_features("bundled", device="auto")
stylizer = vs.Stylizer(features, vs.Style.from_images(["style.jpg"], features), vs.Settings())
with vs.open_source("in.mp4") as source, vs.open_sink("out.mp4", source) as sink:
    vs.run(source, stylizer, [sink])
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DeviceError, FeaturesError, InputError, OutputError, VidstyleError
    from .media.decode import VideoFile
    from .media.format import Color, Format, Light
    from .media.frame import Frame
    from .media.pipe import PipeWriter
    from .media.segments import Checkpoint
    from .media.sink import PictureWriter, Sink, StillWriter, open_sink
    from .media.source import PictureSequence, Source, Still, open_source
    from .media.writer import VideoWriter
    from .media.writing import Encoding
    from .painting.features import Features
    from .painting.flow import Motion
    from .painting.motion import with_motion
    from .painting.style import Style
    from .painting.stylizer import Iteration, Stylizer
    from .painting.weights import load_features, load_flow
    from .pipeline import Report, run
    from .settings import PRESETS, Settings
    from .trace import Trace

# OpenCV reads these when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # of a picture of MAX_SIDE_PX
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")  # a stream that is joined in its middle is no error to be told of
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")  # else a webcam takes up to a minute to open on Windows

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Checkpoint",
    "Color",
    "DeviceError",
    "Encoding",
    "Features",
    "FeaturesError",
    "Format",
    "Frame",
    "InputError",
    "Iteration",
    "Light",
    "Motion",
    "OutputError",
    "PictureSequence",
    "PictureWriter",
    "PipeWriter",
    "Report",
    "Settings",
    "Sink",
    "Source",
    "Still",
    "StillWriter",
    "Style",
    "Stylizer",
    "Trace",
    "VideoFile",
    "VideoWriter",
    "VidstyleError",
    "load_features",
    "load_flow",
    "open_sink",
    "open_source",
    "run",
    "with_motion",
]

_MODULES = (
    "errors",
    "settings",
    "media.frame",
    "media.format",
    "painting.features",
    "painting.flow",
    "media.decode",
    "media.source",
    "painting.motion",
    "painting.weights",
    "painting.style",
    "media.segments",
    "media.writing",
    "media.writer",
    "media.pipe",
    "media.sink",
    "painting.stylizer",
    "pipeline",
    "trace",
)


def __getattr__(name: str) -> Any:
    """Import on first use: PyTorch takes seconds, and ``vidstyle --help`` should not."""
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f".{module}", __name__), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
