"""A stylised clip in five lines of Python: python samples/python_api.py"""

from pathlib import Path

import vidstyle as vs

HERE = Path(__file__).parent

features = vs.load_features("bundled", device="auto")
stylizer = vs.Stylizer(
    features, vs.Style.from_images([HERE / "styles" / "ink.jpg"], features), vs.Settings()
)
with (
    vs.open_source(HERE / "clips" / "balloons.mp4") as source,
    vs.open_sink("balloons-ink.mp4", source, overwrite=True) as sink,
):
    report = vs.run(source, stylizer, [sink])
print(f"balloons-ink.mp4: {report.frames} frames")
