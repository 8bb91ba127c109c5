"""Labs for tests: small, without images, with a stand-in for the daemon, and always removed."""

import contextlib
import itertools
import os

import pytest
from lab_scene import remove, wish

from skep.lab.layout import lab_named
from skep.lab.up import up

_numbers = itertools.count()


@pytest.fixture
def fresh_lab():
    """Names of labs that do not exist yet."""
    with contextlib.ExitStack() as used:

        def make():
            lab = lab_named(f"t{os.getpid()}-{next(_numbers)}")
            used.callback(remove, lab)
            return lab

        yield make


@pytest.fixture
def duo(fresh_lab):
    """A lab of two hosts that is up."""
    lab = fresh_lab()
    up(lab, wish(hosts=2), lambda step: None)
    return lab
