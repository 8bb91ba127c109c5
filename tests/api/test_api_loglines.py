"""A container's log made into what clients of a service's log read."""

import pytest

from skep.api.loglines import LONGEST, STDERR, STDOUT, Lines, frame, labelled

LABELS = b"com.docker.swarm.node.id=n,com.docker.swarm.task.id=t "
OUT, ERR = frame(STDOUT, b"a line\n"), frame(STDERR, b"another = line\n")


def lines(labels=LABELS, *, timestamps=False, framed=True):
    return Lines(labels, timestamps=timestamps, framed=framed)


def test_a_frame_has_a_head_of_eight_bytes():
    assert frame(2, b"abc") == b"\x02\0\0\0\0\0\0\x03abc"


def test_labels_are_sorted_and_escaped():
    assert labelled({"b": "x y", "a.b": "1,2=3"}) == b"a.b=1%2C2%3D3,b=x+y "
    assert labelled({}) == b""


def test_labels_come_before_each_line():
    assert lines().feed(OUT + ERR, raw=False) == frame(1, LABELS + b"a line\n") + frame(
        2, LABELS + b"another = line\n"
    )


def test_a_time_stamp_stays_in_front():
    told = frame(1, b"2026-01-01T00:00:00Z a line\n")
    assert lines(timestamps=True).feed(told, raw=False) == frame(
        1, b"2026-01-01T00:00:00Z " + LABELS + b"a line\n"
    )
    assert lines(b"", timestamps=True).feed(told, raw=False) == told


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 100])
def test_frames_may_come_in_any_pieces(size):
    whole = (OUT + ERR) * 3 + frame(1, b"")
    made = lines()
    got = b"".join(made.feed(whole[n : n + size], raw=False) for n in range(0, len(whole), size))
    assert got + made.end() == lines().feed(whole, raw=False)


def test_a_frame_that_never_came_whole_is_dropped():
    made = lines()
    assert made.feed(OUT + OUT[:-1], raw=False) == frame(1, LABELS + b"a line\n")
    assert made.end() == b""


def test_a_terminal_s_output_passes_as_it_is():
    made = lines(b"", framed=False)
    assert made.feed(b"\x1b[1mpart of a line", raw=True) == b"\x1b[1mpart of a line"
    assert made.end() == b""


def test_a_terminal_s_output_among_frames_is_framed_line_by_line():
    made = lines()
    assert made.feed(b"one\ntw", raw=True) == frame(1, LABELS + b"one\n")
    assert made.feed(b"o\n", raw=True) == frame(1, LABELS + b"two\n")
    assert made.feed(b"prompt> ", raw=True) == b""
    assert made.end() == frame(1, LABELS + b"prompt> ")
    assert made.end() == b""


def test_frames_among_a_terminal_s_output_lose_their_heads():
    assert lines(b"", framed=False).feed(OUT + ERR, raw=False) == b"a line\nanother = line\n"


def test_a_line_without_end_is_not_kept_for_ever():
    made = lines(b"")
    assert len(made.feed(b"x" * (LONGEST + 1), raw=True)) == 8 + LONGEST + 1
    assert made.end() == b""
