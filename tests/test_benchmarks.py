"""What the benchmarks say about their measurements, and that they can be asked how to be run."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from legs import samples  # noqa: PLC0415 - lies beside the benchmarks

    return samples


def test_differences_and_ratios_are_those_of_each_pair(samples):
    pairs = samples.Pairs([1.0, 2.0, 4.0], [3.0, 3.0, 3.0])
    assert pairs.differences() == [2.0, 1.0, -1.0]
    assert pairs.ratios() == [3.0, 1.5, 0.75]


def test_sides_of_different_length_are_no_pairs(samples):
    with pytest.raises(ValueError, match="shorter"):
        samples.Pairs([1.0, 2.0], [1.0]).differences()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], (7.0, 7.0, 7.0)),
        ([3.0, 1.0], (1.5, 2.0, 2.5)),
        ([5.0, 1.0, 4.0, 2.0, 3.0], (2.0, 3.0, 4.0)),
        ([1.0, 1.0, 1.0, 1.0, 1000.0], (1.0, 1.0, 1.0)),
    ],
)
def test_quartiles(samples, values, expected):
    assert samples.quartiles(values) == expected


def test_there_are_no_quartiles_of_nothing(samples):
    with pytest.raises(AssertionError, match="nothing"):
        samples.quartiles([])


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (0, 0)), (4, (0, 3)), (9, (1, 7)), (10, (0, 9)), (25, (7, 17)), (100, (39, 60))],
)
def test_the_true_median_is_likely_near_the_middle(samples, count, expected):
    values = [float(n) for n in reversed(range(count))]
    assert samples.likely(values) == expected


def test_the_likely_range_holds_the_true_median_19_times_out_of_20(samples):
    dice = random.Random(1)
    runs = [samples.likely([dice.expovariate(1.0) for _ in range(25)]) for _ in range(2000)]
    held = sum(low <= math.log(2) <= high for low, high in runs) / len(runs)
    assert 0.94 < held < 0.99


def test_each_goes_first_as_often_as_the_other(samples):
    assert list(samples.turns("a", "b", 4)) == [("a", "b"), ("b", "a")] * 2
    assert list(samples.turns("a", "b", 1)) == [("a", "b")]


@pytest.mark.parametrize(
    ("value", "said"),
    [(123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0, "0.00"), (-12.34, "-12.3")],
)
def test_numbers_have_the_digits_that_count(samples, value, said):
    assert samples.number(value) == said


def test_a_row_says_medians_difference_and_ratio_in_its_unit(samples):
    pairs = samples.Pairs([0.100, 0.200, 0.300], [0.112, 0.204, 0.360])
    words = samples.row("run", pairs, "ms", 1e3).split()
    assert words[:4] == ["run", "200", "204", "ms"]
    assert words[4:8] == ["12.0", "(8.00", "to", "36.0)"]
    assert words[8:] == ["1.12x", "(1.07", "to", "1.16)"]


def test_columns_stand_below_their_headings(samples):
    row = samples.row("run", samples.Pairs([1.0], [2.0]), "ms")
    title = samples.heading("Starting", "none", "overlay").removeprefix("\n")
    assert title.index("none") + len("none") == row.index("1.00") + len("1.00")
    assert title.index("overlay") + len("overlay") == row.index("2.00") + len("2.00")
    assert title.index("ratio") + len("ratio") == row.rindex("2.00x") + len("2.00x")


def road(*options):
    return subprocess.run(
        [sys.executable, str(FOLDER / "road.py"), *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_tells_how_it_is_run():
    told = road("--help")
    assert told.returncode == 0, told.stderr
    for option in ("--pairs", "--firsts", "--endpoints", "--rounds", "--json"):
        assert option in told.stdout


@pytest.mark.parametrize("options", [("--pairs", "0"), ("--rounds", "many"), ("--what",)])
def test_nonsense_is_refused_before_anything_is_made(options):
    told = road(*options)
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].startswith("bin/bench road: error: ")


@pytest.mark.root
def test_both_ways_to_make_an_endpoint_lead_to_the_same(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    script = "import json; from legs import endpoints; print(json.dumps(endpoints.measure(2)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=FOLDER, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"wall clock", "processor"}
    assert all(len(side) == 2 and min(side) > 0 for pair in found.values() for side in pair)
