import pytest

from skep.manager.settling import Settling, has_to_stop
from skep.model.assignment import Assignment
from skep.model.cluster import Task, TaskState


def assignment(index, *, stopping=False):
    desired = TaskState.SHUTDOWN if stopping else TaskState.RUNNING
    task = Task(id="t", service_id="s", desired_state=desired)
    return Assignment(index=index, tasks={"t": task})


@pytest.fixture
def settling():
    """h1 has a task to stop, told at 7; h2 and h3 were told last at 5 and 7."""
    settling = Settling()
    for host, told in (("h1", 7), ("h2", 5), ("h3", 7)):
        settling.connected(host)
        settling.told(host, assignment(told, stopping=host == "h1"))
    return settling


def settled(settling, revision=7, stale=()):
    return settling.noted(assignment(revision, stopping=True), revision, lambda: stale).settled


def test_only_hosts_with_a_task_to_stop_are_told(settling):
    assert settling.waiting() == ["h1"]
    plain = assignment(7)
    assert settling.noted(plain, 7, list) is plain
    attachment = Task(id="t", container_name="c", desired_state=TaskState.REMOVE)
    assert not has_to_stop(Assignment(tasks={"t": attachment}))


def test_all_must_have_applied_what_they_were_told(settling):
    assert settled(settling) == 0
    for host, index in (("h1", 7), ("h2", 5)):
        settling.applied(host, index)
    assert settled(settling) == 0
    settling.applied("h3", 6)
    assert settled(settling) == 6
    settling.applied("h3", 7)
    assert settled(settling) == 7


def test_who_has_nothing_new_to_be_told_is_where_the_cluster_is(settling):
    for host, index in (("h1", 7), ("h2", 5), ("h3", 7)):
        settling.applied(host, index)
    assert settled(settling, revision=9) == 9
    assert settled(settling, revision=9, stale=["h2"]) == 5


def test_the_lost_are_not_waited_for_and_the_new_are(settling):
    for host, index in (("h1", 7), ("h3", 7)):
        settling.applied(host, index)
    settling.lost("h2")
    assert settled(settling) == 7
    settling.connected("h2")
    assert settled(settling) == 0, "it has not been told anything yet"
    settling.told("h2", assignment(8))
    settling.applied("h2", 8)
    assert settled(settling, revision=8) == 8


def test_only_news_is_news(settling):
    assert settling.applied("h2", 5)
    assert not settling.applied("h2", 5)
    assert not settling.applied("stranger", 5)
    settling.told("h1", assignment(8))
    assert not settling.applied("h2", 6), "nobody waits for it"


def test_how_far_each_has_come(settling):
    settling.connected("h4")
    settling.applied("h1", 6)
    versions = settling.versions()
    assert (versions["h1"].told, versions["h1"].applied) == (7, 6)
    assert (versions["h2"].told, versions["h2"].applied) == (5, 0)
    assert versions["h4"].told == 0, "it has been told nothing yet"
