"""The walkthroughs of services on hosts that balance by IPVS, and what ipvsadm shows there."""

import os
import re
from pathlib import Path

import pytest
from rows import ROWS, read
from walker import walking

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]

OWN = read(Path(__file__).with_name("ipvs.rows").read_text())
WALKED = (
    "W3-01", "W3-03", "W1-04", "W0-12", "W1-07", "W1-11", "W1-19", "W1-20", "W1-22", "W1-24",
    "W1-28", "W1-34", "W1-36", "W1-37", "W0-13", "W0-14", "W0-25",
)  # fmt: skip
"""Rows that make something, or show how a service is reached."""


def ordered():
    """The rows, and behind each those of IPVS that come after it."""
    after = {re.match(r"after (W\d-\d\d)", row.note)[1]: row for row in OWN}
    for row in ROWS:
        if row.id in WALKED:
            yield row
            if row.id in after:
                yield after[row.id]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    with walking(f"ipvs-{os.getpid()}", folder, "--balancer", "ipvs", "--wait", "600") as ready:
        yield ready


@pytest.mark.parametrize("row", list(ordered()), ids=lambda row: row.id)
def test_row(shell, row):
    shell.check(row)
