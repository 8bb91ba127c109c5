"""What the doctor found is told if it does not pass by itself, or is there a moment later, too."""

from skep.trace.doctor import confirmed, is_doubtful
from skep.trace.finding import ERROR, Checkup, Finding


def checkup(*found):
    """Of findings by their check, host and words."""
    return Checkup(
        hosts=("h1", "h2"),
        whole=True,
        findings=tuple(
            Finding(
                severity=ERROR,
                check=check,
                host=host,
                where="skep-dns",
                what=what,
                why="y",
                fix="f",
            )
            for check, host, what in found
        ),
    )


def told(first, second):
    return [each.what for each in confirmed(checkup(*first), checkup(*second)).findings]


GONE = ("names", "h1", "gone")


def test_what_passes_is_nothing_to_tell_of():
    assert told([GONE], []) == []
    assert told([], [GONE]) == []


def test_what_lasts_is_told_as_it_is_now():
    assert told([GONE], [("names", "h1", "deaf")]) == ["deaf"]


def test_what_passes_here_and_comes_there_does_not_last():
    assert told([GONE], [("names", "h2", "gone")]) == []
    assert told([GONE], [("objects", "h1", "gone")]) == []


def test_what_does_not_pass_by_itself_is_told_as_soon_as_it_is_seen():
    assert told([], [("disks", "h1", "full")]) == ["full"]


def test_only_what_may_pass_takes_a_second_look():
    assert not is_doubtful(checkup())
    assert not is_doubtful(checkup(("disks", "h1", "full")))
    assert is_doubtful(checkup(("disks", "h1", "full"), GONE))
