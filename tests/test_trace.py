import json
from fractions import Fraction

import cv2
import pytest

from vidstyle import Iteration, OutputError, Trace

ITERATIONS = [
    Iteration((64, 48), {"total": 1.0 / n, "content": 0.2, "style": 0.5, "temporal": 0.0})
    for n in (1, 2, 3)
]


def test_trace_write_lists_every_frame_and_iteration_as_json(tmp_path):
    trace = Trace(tmp_path / "trace.json")
    trace.add(Fraction(0), ITERATIONS)
    trace.add(Fraction(1, 25), ITERATIONS[:1])
    trace.write()
    frames = json.loads((tmp_path / "trace.json").read_text())["frames"]
    assert [(frame["frame"], frame["time"], len(frame["iterations"])) for frame in frames] == [
        (0, 0.0, 3),
        (1, 0.04, 1),
    ]
    second = {
        "iteration": 2,
        "size": [64, 48],
        "total": 0.5,
        "content": 0.2,
        "style": 0.5,
        "temporal": 0.0,
    }
    assert frames[0]["iterations"][1] == second


def test_trace_write_plots_the_losses_as_an_image(tmp_path):
    trace = Trace(tmp_path / "trace.png")
    trace.add(Fraction(0), ITERATIONS)
    trace.add(Fraction(1), ITERATIONS)
    trace.write()
    assert cv2.imread(str(tmp_path / "trace.png")).std() > 0


@pytest.mark.parametrize("name", ["trace.txt", "nowhere/trace.json", ""])
def test_trace_refuses_a_path_that_cannot_be_written(tmp_path, name):
    with pytest.raises(OutputError):
        Trace(tmp_path / name)
