"""The walkthroughs on a lab of two hosts, typed top to bottom with the real docker client.

Later rows stand on earlier ones, so one that fails may bring others down: look at the first.
SKEP_KEEP_LAB=1 leaves the lab up ("walk-" and a number) for a look around.
"""

import os

import pytest
from rows import ROWS
from walker import walking

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with walking(f"walk-{os.getpid()}", tmp_path_factory.mktemp("walk")) as ready:
        yield ready


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(shell, row):
    shell.check(row)
