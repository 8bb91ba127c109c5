"""The last words on tasks: they outlive the daemon, and no longer than their tasks."""

from skep.agent.finals import Finals
from skep.model.cluster import TaskState, TaskStatus


def said(state, at=1.0):
    return TaskStatus(state=state, timestamp=at, error="why")


def reread(path):
    return Finals(path).load()


def test_what_has_ended_is_known_after_a_restart(tmp_path):
    finals = Finals(tmp_path / "finals")
    assert finals.load() == {}
    failed = said(TaskState.FAILED)
    finals.note({"a": failed, "b": said(TaskState.RUNNING)})
    finals.note({"c": said(TaskState.COMPLETE)})
    assert reread(tmp_path / "finals") == {"a": failed, "c": said(TaskState.COMPLETE)}


def test_it_is_forgotten_with_its_task(tmp_path):
    finals = Finals(tmp_path / "finals")
    finals.note({"a": said(TaskState.FAILED), "b": said(TaskState.REJECTED)})
    finals.keep_only(["b", "other"])
    assert list(reread(tmp_path / "finals")) == ["b"]


def test_a_task_that_goes_on_costs_no_write(tmp_path):
    finals = Finals(tmp_path / "finals")
    finals.note({"a": said(TaskState.RUNNING)})
    finals.keep_only([])
    assert not (tmp_path / "finals").exists()


def test_a_spoilt_file_is_as_good_as_none(tmp_path):
    (tmp_path / "finals").write_bytes(b"\xc1nonsense")
    finals = Finals(tmp_path / "finals")
    assert finals.load() == {}
    finals.note({"a": said(TaskState.FAILED)})
    assert list(reread(tmp_path / "finals")) == ["a"]


def test_a_disk_that_takes_nothing_does_not_silence_the_host(tmp_path):
    finals = Finals(tmp_path / "missing" / "finals")
    finals.note({"a": said(TaskState.FAILED)})
    assert finals.load() == {}
