"""What all tests share: those that need root are left out, visibly, for everybody else."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from skep.lab.records import DEATH

# How long one example takes says what else the machine was doing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

LONGEST = ("test_simulation", "test_same_as_docker_engine", "test_on_docker_engine")
"""Files of few tests, or of one, that take minutes."""


def pytest_collection_modifyitems(items):
    # Begun last, these few tests would go on alone, minutes after all others.
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.stem not in LONGEST, -sizes[item.path]))
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


WORTH = (DEATH, "level='warning'", "level='error'", "level='critical'", "Traceback", "Error")
"""What makes a line of a daemon's log worth a look, after a test has failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """What the daemons of this process's labs said last, beside a failure: labs are removed."""
    report = yield
    if report.failed and item.get_closest_marker("lab"):
        for log in sorted(Path("/var/lib/skep-lab").glob(f"*{os.getpid()}*/*/skepd.log")):
            lines = log.read_text(errors="replace").splitlines()
            said = [line[:400] for line in lines if any(each in line for each in WORTH)][-12:]
            if said:
                report.sections.append((f"{log.parts[-3]} {log.parts[-2]}", "\n".join(said)))
    return report
