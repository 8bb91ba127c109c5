"""Scenarios as dialogues (``playbooks/*.txt``): what users and the world do, and what becomes of
the tasks.

A line that begins with ``>`` is a command, the lines after it are the answer. ``hosts`` lets every
host do all that it is told at this instant; images after ``fail=`` die, those after ``done=``
complete. ``step`` lets one host do one thing. With SKEP_REWRITE=1 the answers are written anew, to
be reviewed as a diff.
"""

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.lives import is_live, is_placed, is_stopping
from skep.cluster.needs import is_everywhere
from skep.model.cluster import TaskState
from skep.model.spec import (
    SECOND,
    ContainerSpec,
    Placement,
    Replicated,
    ReplicatedJob,
    RestartPolicy,
    ServiceMode,
    UpdateConfig,
)

PLAYBOOKS = sorted((Path(__file__).parent / "playbooks").glob("*.txt"))


def mode_of(text):
    kind, _, numbers = text.partition(":")
    if kind == "global":
        return ServiceMode(global_={})
    if kind == "global-job":
        return ServiceMode(global_job={})
    if kind == "job":
        total, at_once = map(int, numbers.split("/"))
        job = ReplicatedJob(total_completions=total, max_concurrent=at_once)
        return ServiceMode(replicated_job=job)
    return ServiceMode(replicated=Replicated(int(numbers)))


class Book:
    """Reads commands, gives answers."""

    def __init__(self, world):
        self.world = world

    def do(self, line):
        verb, *rest = line.split()
        names = [word for word in rest if "=" not in word]
        options = dict(word.split("=", 1) for word in rest if "=" in word)
        answer = list(getattr(self, f"do_{verb}")(*names, **options) or ())
        self.world.settle()
        return answer

    def spec(self, spec, options):
        template = spec.task_template
        if "image" in options:
            template = replace(template, container_spec=ContainerSpec(image=options["image"]))
        if "force" in options:
            template = replace(template, force_update=template.force_update + 1)
        if "restart" in options:
            condition, _, delay = options["restart"].partition("/")
            policy = RestartPolicy(condition=condition, delay=int(delay or 0) * SECOND)
            template = replace(template, restart_policy=policy)
        if "on" in options:
            constraint = f"node.labels.role=={options['on']}"
            template = replace(template, placement=Placement(constraints=(constraint,)))
        spec = replace(spec, task_template=template)
        if "mode" in options:
            spec = replace(spec, mode=mode_of(options["mode"]))
        config = {
            "order": options.get("order"),
            "failure_action": options.get("action"),
            "parallelism": int(options["parallelism"]) if "parallelism" in options else None,
        }
        config = {key: value for key, value in config.items() if value is not None}
        if config:
            spec = replace(spec, update_config=UpdateConfig(**{"parallelism": 1, **config}))
        return spec

    def do_create(self, name, **options):
        spec = self.spec(self.world.spec(name), options)
        self.world.change(control.create_service, spec)

    def do_update(self, name, **options):
        service = self.world.service(name)
        spec = self.spec(service.spec, options)
        self.world.change(control.update_service, name, service.version, spec)

    def do_remove(self, name):
        self.world.change(control.remove_service, name)

    def do_rollback(self, name):
        version = self.world.service(name).version
        self.world.change(control.rollback_service, name, version)

    def do_wait(self, seconds):
        self.world.now += float(seconds)

    def do_drain(self, host):
        self.world.node_spec(host, availability="drain")

    def do_pause(self, host):
        self.world.node_spec(host, availability="pause")

    def do_activate(self, host):
        self.world.node_spec(host, availability="active")

    def do_label(self, host, role=""):
        self.world.node_spec(host, labels={"role": role} if role else {})

    def do_down(self, host):
        self.world.down(host)

    def do_up(self, host):
        self.world.up(host)

    def do_join(self, host):
        self.world.now += 1
        self.world.change(control.add_node, self.world.host(host))

    def do_leave(self, host):
        self.world.change(control.remove_node, host, force=True)

    def do_hosts(self, fail="", done=""):
        for _ in range(100):
            self.world.settle()
            tasks = self.world.state.tasks.values()
            todo = [(t, state) for t in tasks if (state := self.next(t, fail, done))]
            if not todo:
                return
            for task, state in sorted(todo, key=lambda pair: (pair[0].created_at, pair[0].slot)):
                self.world.report(task, state)
        raise AssertionError("the hosts never finish")

    def next(self, task, fail, done):
        node = self.world.state.nodes.get(task.node_id)
        if node is None or node.state != "ready" or not is_placed(task):
            return None
        if is_stopping(task):
            return TaskState.SHUTDOWN
        image = task.spec.container_spec.image
        if is_live(task) and image in fail.split(","):
            return TaskState.FAILED
        if is_live(task) and image in done.split(","):
            return TaskState.COMPLETE
        starting = is_live(task) and task.status.state < TaskState.RUNNING
        return TaskState.RUNNING if starting else None

    def do_step(self, fail=""):
        """One report of one host only: the oldest thing there is to do."""
        tasks = sorted(self.world.state.tasks.values(), key=lambda t: (not is_stopping(t), t.slot))
        for task in tasks:
            if state := self.next(task, fail, ""):
                self.world.report(task, state)
                return

    def do_tasks(self, name):
        """Slot or host, image, what is wanted of it, what was observed."""
        hosts = {id: n.description.hostname for id, n in self.world.state.nodes.items()}
        pinned = is_everywhere(self.world.service(name).spec)
        for task in self.world.tasks(name):
            place = hosts.get(task.node_id, "?") if pinned else str(task.slot)
            image = task.spec.container_spec.image
            yield f"{place} {image} {task.desired_state.word} {task.status.state.word}"

    def do_status(self, name):
        status = self.world.service(name).update_status
        if status is None:
            return ["none"]
        message = re.sub(r"task [0-9a-z]{25}", "task …", status.message)
        return [f"{status.state}: {message}"]


def played(world, text):
    """The text with the answers as they are: comments and blank lines stay where they were."""
    book = Book(world)
    lines = []
    for line in text.splitlines():
        if line.startswith(">"):
            lines += [line, *book.do(line[1:])]
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_playbooks(swarm, path):
    expected = path.read_text()
    told = played(swarm, expected)
    if os.environ.get("SKEP_REWRITE"):
        path.write_text(told)
    assert told == expected
