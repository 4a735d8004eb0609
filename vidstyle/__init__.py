"""vidstyle: neural style transfer for video, by optimising every frame.

import vidstyle as vs

features = vs.load_features("bundled", device="auto")
stylizer = vs.Stylizer(features, vs.Style.from_images(["style.jpg"], features), vs.Settings())
with vs.open_source("in.mp4") as source, vs.open_sink("out.mp4", source) as sink:
    vs.run(source, stylizer, [sink])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DeviceError, FeaturesError, InputError, OutputError, VidstyleError
    from .features import Features
    from .flow import Motion
    from .frame import Frame
    from .motion import with_motion
    from .pipeline import Report, run
    from .settings import PRESETS, Settings
    from .sink import Encoding, Sink, StillWriter, VideoWriter, open_sink
    from .source import Color, Format, Source, Still, VideoFile, open_source
    from .style import Style
    from .stylizer import Iteration, Stylizer
    from .trace import Trace
    from .weights import load_features, load_flow

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Color",
    "DeviceError",
    "Encoding",
    "Features",
    "FeaturesError",
    "Format",
    "Frame",
    "InputError",
    "Iteration",
    "Motion",
    "OutputError",
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
    "features",
    "flow",
    "source",
    "motion",
    "weights",
    "style",
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
