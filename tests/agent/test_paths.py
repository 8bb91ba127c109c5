"""What is known of narrow paths outlives the daemon."""

import pytest

from skep.agent.paths import Paths


@pytest.fixture
def made(tmp_path):
    calls = []
    return Paths(tmp_path / "paths", lambda: calls.append(1)), calls, tmp_path / "paths"


def again(file):
    paths = Paths(file, lambda: None)
    paths.load()
    return paths


def test_what_is_found_is_told_and_kept(made):
    paths, calls, file = made
    paths.load()
    paths.found({"two": 1400})
    paths.found_sealed({"three": 1300})
    paths.found({"two": 1400})
    assert len(calls) == 2
    assert (again(file).clear, again(file).sealed) == ({"two": 1400}, {"three": 1300})
    paths.found({})
    assert again(file).clear == {}


def test_what_cannot_be_read_will_be_measured(made):
    paths, _, file = made
    file.write_text('{"clear": {"two": "wide"}}')
    paths.load()
    assert (paths.clear, paths.sealed) == ({}, {})


def test_it_is_forgotten_with_the_swarm(made):
    paths, _, file = made
    paths.found({"two": 1400})
    paths.forget()
    assert (paths.clear, file.exists()) == ({}, False)
    paths.forget()


def test_a_full_disk_keeps_nobody_from_using_what_is_known(tmp_path):
    calls = []
    paths = Paths(tmp_path / "absent" / "paths", lambda: calls.append(1))
    paths.found({"two": 1400})
    assert (paths.clear, calls) == ({"two": 1400}, [1])
