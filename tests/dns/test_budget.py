"""Counting what is under way."""

import pytest

from skep.dns.budget import Budget


def test_a_limit_of_its_own_and_of_the_whole():
    whole = Budget(3)
    one, two = Budget(2, whole), Budget(2, whole)
    assert [one.take(), one.take(), one.take()] == [True, True, False]
    assert [two.take(), two.take()] == [True, False]
    assert (one.used, two.used, whole.used) == (2, 1, 3)
    one.give()
    assert two.take()
    assert whole.used == 3


def test_giving_back_too_much_is_our_fault():
    with pytest.raises(AssertionError):
        Budget(1).give()
