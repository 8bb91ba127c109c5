"""What all tests share: those that need root are left out, visibly, for everybody else."""

import os
from collections import Counter

import pytest
from hypothesis import settings

# How long one example takes says what else the machine was doing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    # Begun last, the simulation would go on alone, minutes after all others.
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.parent.name != "sim", -sizes[item.path]))
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)
