"""kill -9 at every step of the road: of skepd, of the engine's service, of skep-dns.

Each case is one operation, and the step of it at which the victim dies (`steps/fault_steps.py`). In
the end all is as if the operation had been done once or not at all: what was acknowledged holds, no
address is in two places, nothing is left over, and it can be done (again). A connection between two
containers is open all the while.
"""

import pytest
from step_cases import Connect, Disconnect, Remove, Run, Stop, cases, judge

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("operation", "step", "when", "victim"), cases(Run, Stop, Remove, Connect, Disconnect)
)
def test_a_kill_at_a_step(connected, operation, step, when, victim):
    judge(connected, operation, step, when, victim)
