"""A little of the fuzzing that ``benchmarks/fuzz.py`` does at length, so that it cannot rot."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_and_hostile_files_are_painted_or_refused_in_one_line(script):
    counts, failures, _ = script.fuzz(range(60), 11)
    assert failures == []
    assert counts["hostile"] == {"refused": 16}
    assert sum(count["painted"] for count in counts.values()) > 5


def test_a_case_is_always_the_same(script, tmp_path):
    script.make_seeds(tmp_path)
    cases = [script.case(number, 3, tmp_path, 80) for number in range(16, 40)]
    assert cases == [script.case(number, 3, tmp_path, 80) for number in range(16, 40)]
    assert len({data for _, _, data in cases}) == len(cases)
    assert cases != [script.case(number, 4, tmp_path, 80) for number in range(16, 40)]
