"""What all tests share: those that need root are left out, visibly, for everybody else."""

import os

import pytest
from hypothesis import settings

# How long one example takes says what else the machine was doing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)
