"""What tests of the lab build on: a stand-in for the daemon, wishes without images, waiting."""

import sys
import time
from pathlib import Path

from skep.lab.down import down, exclusive
from skep.lab.up import Wish

STAND_IN = str(Path(__file__).with_name("stand_in.py"))
COMMAND = (sys.executable, STAND_IN, "/run/docker.sock")


def wish(**changes):
    return Wish(**({"command": COMMAND, "image_folder": Path("/nowhere"), "images": ()} | changes))


def until(condition, seconds=60.0):
    """Wait for a condition; its value. Fails the test when time is up."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
    return value


def remove(lab):
    with exclusive():
        return down(lab)
