"""Who has a task to stop hears when all other hosts send nothing to it any more."""

from test_sessions import attachable, rig, web

from skep.cluster import control
from skep.model.cluster import TaskState, TaskStatus
from skep.model.messages import Beat, Status

__all__ = ["rig"]


async def two_that_run(rig):
    one, two = await rig.host(2), await rig.host(3)
    await attachable(rig)
    await rig.manager.change(lambda d, c: control.create_service(d, c, web()))
    await rig.until(lambda: all(h.assignment and h.assignment.tasks for h in (one, two)))
    for host in (one, two):
        (task,) = host.assignment.tasks.values()
        running = TaskStatus(state=TaskState.RUNNING, timestamp=1.0, container_id="c" * 64)
        host.inbox.put_nowait(Status(tasks={task.id: running}))
    states = rig.manager.state.tasks
    await rig.until(lambda: {t.status.state for t in states.values()} == {TaskState.RUNNING})
    return one, two


def stopping(host):
    return [task for task in host.assignment.tasks.values() if not task.wanted]


def say(host, applied):
    host.inbox.put_nowait(Beat(applied=applied))


async def test_settled_is_told_when_the_last_host_has_applied(rig):
    one, two = await two_that_run(rig)
    before = one.assignment.index
    await rig.manager.change(lambda d, c: control.remove_service(d, c, "web"))
    await rig.until(lambda: stopping(one) and stopping(two))
    told = max(one.assignment.index, two.assignment.index)
    say(one, one.assignment.index)
    say(two, before)
    await rig.until(two.inbox.empty)
    assert one.assignment.settled <= before
    say(two, two.assignment.index)
    await rig.until(lambda: one.assignment.settled >= told and two.assignment.settled >= told)


async def test_a_host_whose_session_ends_is_not_waited_for(rig):
    one, two = await two_that_run(rig)
    await rig.manager.change(lambda d, c: control.remove_service(d, c, "web"))
    await rig.until(lambda: stopping(one) and stopping(two))
    say(one, one.assignment.index)
    await two.close("gone")
    await rig.until(lambda: one.assignment.settled >= one.assignment.index)


async def test_who_has_nothing_to_stop_is_not_told(rig):
    one, two = await two_that_run(rig)
    for host in (one, two):
        say(host, host.assignment.index)
    await rig.until(two.inbox.empty)
    assert (one.assignment.settled, two.assignment.settled) == (0, 0)
