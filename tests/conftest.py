"""What all tests share: those that need root are left out, visibly, for everybody else."""

import os
from collections import Counter

import pytest
from hypothesis import settings

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
