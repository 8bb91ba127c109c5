"""What a launched host says of itself: in either order, in time, or not at all."""

import os
import socket

import pytest

from skep.lab.init import Report, tell
from skep.lab.launch import Launch
from skep.model.errors import Broken

pytestmark = pytest.mark.root


@pytest.fixture
def launch_that_says(fresh_lab, monkeypatch):
    """Makes launches whose host is this process, and says what it is given to say."""
    begun = []

    def make(*reports, hangs_up=True):
        class SaysThat:
            def __init__(self, command, *, pass_fds, **options):
                self.channel = socket.socket(fileno=os.dup(pass_fds[0]))
                for report in reports:
                    tell(self.channel, report)
                if hangs_up:
                    self.channel.close()

            def wait(self):
                self.channel.close()

        monkeypatch.setattr("skep.lab.launch.subprocess.Popen", SaysThat)
        host = fresh_lab().host(1)
        host.log.parent.mkdir(parents=True)
        begun.append(Launch(host, ("true",)))
        return begun[-1]

    yield make
    for launch in begun:
        launch.close()


@pytest.mark.parametrize("order", [1, -1])
def test_the_host_and_who_started_it_speak_in_either_order(launch_that_says, order):
    reports = [Report(pid=os.getpid()), Report(ready=True)][::order]
    assert launch_that_says(*reports).furnished().pid == os.getpid()


def test_what_went_wrong_is_told(launch_that_says):
    with pytest.raises(Broken, match="h1: no space for it"):
        launch_that_says(Report(pid=os.getpid()), Report(error="no space for it")).furnished()


def test_one_that_hangs_up_has_ended(launch_that_says):
    with pytest.raises(Broken, match="its first process ended: it said nothing"):
        launch_that_says(Report(pid=os.getpid())).furnished()


def test_one_that_is_silent_is_not_said_to_have_ended(launch_that_says, monkeypatch):
    monkeypatch.setattr("skep.lab.launch._PATIENCE", 0.1)
    with pytest.raises(Broken, match=r"h1 did not stand within 0\.1 s"):
        launch_that_says(Report(pid=os.getpid()), hangs_up=False).furnished()
