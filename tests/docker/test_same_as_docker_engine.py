"""The same commands, typed to Debian's Docker Engine and to Skep, have the same results.

What differs is listed in docs/compat-docker-engine.md, with reasons; that list is exact.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import engines
import pytest
from docker_engine import ALONE, DockerLab
from swarm_lab import SwarmLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(3000)]

COMPARED_WITH = "20.10."
"""The version that the list of differences is about: Debian 12's."""


@pytest.fixture(scope="module")
def labs():
    with (
        DockerLab(f"dkr{os.getpid()}", 1, ALONE) as docker,
        SwarmLab(f"dks{os.getpid()}", 1) as skep,
    ):
        docker.up()
        skep.up(swarm=False)
        yield docker, skep


def version(lab):
    asked = [lab.client, "-H", f"unix://{lab.socket('h1')}", "version", "-f", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def compared(labs, tmp_path_factory):
    """The steps of the script, each with the lines that only one of the two answered."""
    if not version(labs[0]).startswith(COMPARED_WITH):
        pytest.skip(f"the differences are listed for Docker Engine {COMPARED_WITH}x")
    steps = engines.read(engines.SCRIPT.read_text())
    with ThreadPoolExecutor() as pool:
        typed = [
            pool.submit(engines.typed, lab, steps, tmp_path_factory.mktemp("files")) for lab in labs
        ]
        answers = [each.result() for each in typed]
    return [(step, engines.differences(*pair)) for step, *pair in zip(steps, *answers, strict=True)]


def test_what_differs_is_on_the_list_and_nothing_else_is(compared):
    listed = engines.kept(engines.KEPT.read_text())
    lacking, idle = engines.judged(compared, listed)
    wrong = [f"not on the list: {each}" for each in lacking]
    wrong += [f"on the list, and not so any more: {each}" for each in idle]
    assert not wrong, "\n".join(wrong)


def test_most_of_the_script_is_answered_alike(compared):
    same = [step for step, lines in compared if not lines]
    assert len(compared) >= 350
    assert len(same) >= 220
