"""The search for the largest packets that get to a peer, on paths that are played."""

import random

import pytest

from skep.agent.pathsize import GRAIN, LEAST, PathSize
from skep.model.secure import WIREGUARD_GRAIN

FULL = 1500


class Path:
    """One that carries packets of up to ``width`` bytes, losing some besides."""

    def __init__(self, width=FULL, found=0, loss=0.0):
        self.width, self.loss = width, loss
        self.search = PathSize(found)
        self.sent = 0
        self.most = 0
        self._dice = random.Random(7)

    def sweep(self, full=FULL, *, alive=True):
        sizes = self.search.sizes(full, LEAST)
        assert sizes == sorted(set(sizes))
        assert sizes[-1] == full
        self.most = max(self.most, len(sizes))
        for size in sizes:
            self.sent += 1
            self.search.sent(self.sent, size)
            if alive and size <= self.width and self._dice.random() >= self.loss:
                self.search.answered(self.sent)
        return sizes

    def sweeps(self, count, **more):
        for _ in range(count):
            self.sweep(**more)
        return self.search.known


def test_a_path_as_wide_as_its_ends_is_asked_one_packet_at_a_time():
    path = Path()
    assert path.sweeps(20) == 0
    assert path.most == 1
    assert not path.search.suspicious


@pytest.mark.parametrize("width", [600, 1000, 1280, 1399, 1400, 1492, 1499])
def test_a_narrow_path_is_measured_within_a_few_sweeps(width):
    path = Path(width)
    assert width - GRAIN <= path.sweeps(8) <= width
    assert path.sweeps(8) in range(width - GRAIN, width + 1)
    assert path.most <= 16


def test_links_of_large_frames_over_a_usual_path():
    path = Path(1500)
    assert 1500 - GRAIN <= path.sweeps(12, full=9000) <= 1500


def test_one_lost_packet_is_no_narrow_path():
    path = Path()
    path.sweep()
    path.sweep(alive=False)
    assert path.search.suspicious or path.sweep() == [FULL]
    assert path.sweeps(3) == 0
    assert not path.search.suspicious
    assert path.most == 1


def test_a_path_that_is_wide_again_is_known_at_once():
    path = Path(1300)
    assert path.sweeps(8)
    path.width = FULL
    path.sweeps(2)
    assert path.search.known == 0
    assert path.sweep() == [FULL]


@pytest.mark.parametrize("width", [700, 1250, 1310, 1450])
def test_a_path_of_another_width_is_measured_anew(width):
    path = Path(1300)
    path.sweeps(8)
    path.width = width
    assert width - GRAIN <= path.sweeps(10) <= width


def test_a_peer_that_is_gone_changes_nothing():
    path = Path(1300)
    known = path.sweeps(8)
    assert path.sweeps(20, alive=False) == known


def test_a_lossy_path_is_not_mistaken_for_another():
    path = Path(1300, loss=0.2)
    path.sweeps(30)
    for _ in range(100):
        path.sweep()
        assert path.search.known <= 1300
    lossy = Path(FULL, loss=0.2)
    found = [lossy.sweeps(1) for _ in range(300)]
    assert found.count(0) > 280


def test_what_was_known_before_is_looked_at_first():
    path = Path(1300, found=1300)
    assert path.search.known == 1300
    assert 1300 in path.sweep()
    path.sweep()
    assert path.search.known == 1300
    wide = Path(FULL, found=1300)
    wide.sweeps(2)
    assert wide.search.known == 0


def test_links_that_become_narrower_themselves():
    path = Path(1300)
    path.sweeps(8)
    assert path.sweep(full=1280) == [1280] or path.search.known == 0
    path.sweeps(3, full=1280)
    assert path.search.known == 0
    path.sweeps(10, full=FULL)
    assert 1300 - GRAIN <= path.search.known <= 1300


def test_nothing_smaller_than_every_path_carries_is_tried():
    path = Path(100)
    for _ in range(10):
        assert min(path.sweep()) >= LEAST
    assert path.search.known == 0


@pytest.mark.parametrize("width", [1344, 1350, 1359])
def test_sizes_are_multiples_where_packets_are_filled_up(width):
    """As WireGuard does it: no two of a sweep may come out alike."""
    search, sequence = PathSize(), 0
    for _ in range(10):
        sizes = search.sizes(1440, LEAST, WIREGUARD_GRAIN)
        assert all(size % WIREGUARD_GRAIN == 0 for size in sizes)
        for size in sizes:
            sequence += 1
            search.sent(sequence, size)
            if size <= width:
                search.answered(sequence)
    assert search.known == 1344
