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
    from .decode import VideoFile
    from .errors import DeviceError, FeaturesError, InputError, OutputError, VidstyleError
    from .features import Features
    from .flow import Motion
    from .format import Color, Format, Light
    from .frame import Frame
    from .motion import with_motion
    from .pipe import PipeWriter
    from .pipeline import Report, run
    from .segments import Checkpoint
    from .settings import PRESETS, Settings
    from .sink import PictureWriter, Sink, StillWriter, open_sink
    from .source import PictureSequence, Source, Still, open_source
    from .style import Style
    from .stylizer import Iteration, Stylizer
    from .trace import Trace
    from .weights import load_features, load_flow
    from .writer import VideoWriter
    from .writing import Encoding

# OpenCV reads these when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # of a picture of MAX_SIDE_PX
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
    "frame",
    "format",
    "features",
    "flow",
    "decode",
    "source",
    "motion",
    "weights",
    "style",
    "segments",
    "writing",
    "writer",
    "pipe",
    "sink",
    "stylizer",
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
