"""kill -9 at every step of the road of services and networks; see `test_steps`."""

import pytest
from step_cases import Create, RemoveNetwork, Update, cases, judge

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("operation", "step", "when", "victim"), cases(Create, Update, RemoveNetwork)
)
def test_a_kill_at_a_step_of_the_clusters(connected, operation, step, when, victim):
    judge(connected, operation, step, when, victim)
