"""The clock of decisions, while the host's is put forward and back."""

from skep.manager.clock import Clock


class Hands:
    def __init__(self):
        self.wall, self.steady = 1000.0, 50.0
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def go_on(self, seconds):
        self.wall += seconds
        self.steady += seconds
        return self.clock.now()


def test_it_is_the_hosts():
    hands = Hands()
    assert hands.clock.now() == 1000.0
    assert hands.go_on(7.0) == 1007.0


def test_it_follows_forward():
    hands = Hands()
    hands.clock.now()
    hands.wall += 86400
    assert hands.go_on(1.0) == 1000.0 + 86400 + 1


def test_it_goes_on_when_the_hosts_is_put_back_until_that_has_caught_up():
    hands = Hands()
    hands.clock.now()
    hands.wall -= 100
    assert hands.go_on(0.0) == 1000.0
    assert hands.go_on(60.0) == 1060.0
    hands.wall += 300
    assert hands.clock.now() == 1260.0


def test_what_was_noted_before_a_restart_is_past():
    hands = Hands()
    hands.clock.passed(5000.0)
    assert hands.clock.now() == 5000.0
    assert hands.go_on(10.0) == 5010.0
