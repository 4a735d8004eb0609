"""vidstyle: neural style transfer for video, by optimising every frame.

Example::

    import vidstyle as vs

    vs.render("in.mp4", "painting.jpg", "out.mp4")  # a file, with its sound
    image = vs.stylize(image, "strokes")  # NumPy, PyTorch or PIL; the same kind out
    for image in vs.stylize_video("in.mp4", "painting.jpg"):  # an iterator of arrays
        ...
    with vs.stream("strokes", preset="draft") as stylized:  # frames as they arrive
        image = stylized(frame)

The parts that these are made of, for full control::

    features = vs.load_features("bundled", device="auto")
    style = vs.Style.from_images(["style.jpg"], features)
    stylizer = vs.Stylizer(features, style, vs.Settings())
    with vs.open_source("in.mp4") as source, vs.open_sink("out.mp4", source) as sink:
        vs.run(source, stylizer, [sink])
"""

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import render, stream, stylize, stylize_video
    from .api_arguments import RenderOptions
    from .api_stream import Stream
    from .errors import DeviceError, FeaturesError, InputError, OutputError, VidstyleError
    from .features.extractor import Features
    from .features.weights import load_features
    from .flow.clip_motion import with_motion
    from .flow.methods import load_flow
    from .flow.motion import Motion
    from .io.checkpoints import Checkpoint
    from .io.decode import VideoFile
    from .io.frame import Frame
    from .io.pipe_writer import PipeWriter
    from .io.sink import ImageSequenceWriter, ImageWriter, Sink, open_sink
    from .io.sink_base import Encoding
    from .io.source import ImageSequence, ImageSource, Source, open_source
    from .io.stream_info import ColorInfo, HDRMetadata, VideoInfo
    from .io.video_writer import VideoWriter
    from .losses.base import FrameContext, Loss
    from .losses.defaults import default_losses
    from .pipeline import Report, run
    from .progress import ProgressEvent
    from .settings import PRESETS, Settings
    from .stylizer.iterations import Iteration
    from .stylizer.style import Style
    from .stylizer.stylizer import Stylizer
    from .trace import Trace

# OpenCV reads these environment variables when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))  # an image of MAX_SIDE_PX squared
# FFmpeg reports an error for each stream that is joined in its middle: 8 keeps only fatal errors.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")
# With hardware transforms a webcam takes up to a minute to open on Windows.
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Checkpoint",
    "ColorInfo",
    "DeviceError",
    "Encoding",
    "Features",
    "FeaturesError",
    "Frame",
    "FrameContext",
    "HDRMetadata",
    "ImageSequence",
    "ImageSequenceWriter",
    "ImageSource",
    "ImageWriter",
    "InputError",
    "Iteration",
    "Loss",
    "Motion",
    "OutputError",
    "PipeWriter",
    "ProgressEvent",
    "RenderOptions",
    "Report",
    "Settings",
    "Sink",
    "Source",
    "Stream",
    "Style",
    "Stylizer",
    "Trace",
    "VideoFile",
    "VideoInfo",
    "VideoWriter",
    "VidstyleError",
    "default_losses",
    "load_features",
    "load_flow",
    "open_sink",
    "open_source",
    "render",
    "run",
    "stream",
    "stylize",
    "stylize_video",
    "with_motion",
]

_MODULES = (
    "errors",
    "settings",
    "progress",
    "io.frame",
    "io.stream_info",
    "features.extractor",
    "flow.motion",
    "io.decode",
    "io.source",
    "flow.clip_motion",
    "features.weights",
    "flow.methods",
    "stylizer.style",
    "io.checkpoints",
    "io.sink_base",
    "io.video_writer",
    "io.pipe_writer",
    "io.sink",
    "losses.base",
    "losses.defaults",
    "stylizer.iterations",
    "stylizer.stylizer",
    "pipeline",
    "trace",
    "api_arguments",
    "api",
)
"""Modules that define the public names, in the order in which they import one another."""


_RENAMED = {
    "Color": "ColorInfo",
    "Format": "VideoInfo",
    "Light": "HDRMetadata",
    "PictureSequence": "ImageSequence",
    "PictureWriter": "ImageSequenceWriter",
    "Still": "ImageSource",
    "StillWriter": "ImageWriter",
}
"""Old name -> new name. The old names work for one more version."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use: PyTorch takes seconds, ``vidstyle --help`` should not."""
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"vidstyle.{name} is now {new}", DeprecationWarning, stacklevel=2)
        return __getattr__(new)
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f".{module}", __name__), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All public names, also before they are imported."""
    return sorted({*globals(), *__all__})
