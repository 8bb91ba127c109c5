"""Services of every mode through seeded lives: users change them, hosts come and go, tasks fail.

What must hold at every step is checked after each; in the end, when nothing goes wrong any more,
all is as it was asked for.
"""

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.ends import is_displaced
from skep.cluster.lives import is_dead, is_live, is_placed, is_running, is_stopping
from skep.cluster.modes import is_job, is_open, job_size, mode_of, replicas_of, suits
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

RUNNING, SHUTDOWN, COMPLETE = TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.COMPLETE
STEPS = 60
UNDER_WAY = ("updating", "rollback_started")


class Life:
    """A swarm with one service of each mode, and dice."""

    def __init__(self, world, seed):
        self.world, self.dice = world, random.Random(seed)
        world.init("h1", "h2", "h3")
        modes = (
            ServiceMode(replicated=Replicated(3)),
            ServiceMode(global_={}),
            ServiceMode(replicated_job=ReplicatedJob(total_completions=4, max_concurrent=2)),
            ServiceMode(global_job={}),
        )
        for number, mode in enumerate(modes):
            spec = world.spec(f"s{number}", service_mode=mode)
            world.change(control.create_service, self.varied(spec))

    def varied(self, spec):
        """Another image, policy and way to update."""
        dice = self.dice
        constraints = dice.choice([(), (), ("node.labels.disk==ssd",), ("node.hostname!=h2",)])
        template = replace(
            spec.task_template,
            container_spec=ContainerSpec(image=dice.choice("abc")),
            placement=Placement(constraints=constraints),
            restart_policy=RestartPolicy(
                condition=dice.choice(["any", "any", "on-failure"]),
                delay=dice.randint(0, 4) * SECOND,
            ),
        )
        config = UpdateConfig(
            parallelism=dice.randint(0, 2),
            order=dice.choice(["stop-first", "start-first"]),
            failure_action=dice.choice(["pause", "continue", "rollback"]),
            delay=dice.randint(0, 2) * SECOND,
            monitor=dice.randint(1, 4) * SECOND,
            max_failure_ratio=dice.choice([0.0, 0.5]),
        )
        job = is_job(spec)
        return replace(
            spec,
            task_template=template,
            update_config=None if job else config,
            rollback_config=None if job else replace(config, failure_action="pause"),
        )

    # --- what happens

    def act(self):
        dice = self.dice
        action = dice.choice(
            [self.update, self.update, self.rollback, self.scale, self.node, self.node, self.cut,
             self.heal, self.join, self.leave]
        )  # fmt: skip
        action()

    def service(self):
        return self.dice.choice(list(self.world.state.services.values()))

    def update(self):
        service = self.service()
        spec = self.varied(service.spec)
        self.world.change(control.update_service, service.id, service.version, spec)

    def rollback(self):
        service = self.service()
        if service.previous_spec is not None:
            self.world.change(control.rollback_service, service.id, service.version)

    def scale(self):
        number = self.dice.randint(0, 5)
        self.world.update("s0", mode=ServiceMode(replicated=Replicated(number)))

    def host(self):
        return self.dice.choice(list(self.world.state.nodes.values()))

    def node(self):
        node = self.host()
        labels = self.dice.choice([{}, {"disk": "ssd"}])
        availability = self.dice.choice(["active", "active", "pause", "drain"])
        spec = replace(node.spec, availability=availability, labels=labels)
        self.world.change(control.update_node, node.id, node.version, spec)

    def cut(self):
        self.world.change(control.update_node_status, self.host().id, state="down")

    def heal(self):
        for node in list(self.world.state.nodes.values()):
            self.world.change(control.update_node_status, node.id, state="ready")

    def join(self):
        if len(self.world.state.nodes) < 5:
            self.world.change(control.add_node, self.world.host(f"h{self.world.new_id()[:4]}"))

    def leave(self):
        node = self.host()
        if node.spec.role == "worker" and len(self.world.state.nodes) > 2:
            self.world.change(control.remove_node, node.id, force=True)

    def hosts(self, failures):
        """Every task moves on, or not, or dies."""
        for task in list(self.world.state.tasks.values()):
            node = self.world.state.nodes.get(task.node_id)
            gone = node is None or node.state != "ready" or not is_placed(task) or is_dead(task)
            if gone or self.dice.random() < 0.3:
                continue
            if is_stopping(task):
                self.world.report(task, SHUTDOWN)
            elif self.dice.random() < failures:
                self.world.report(task, self.dice.choice([TaskState.FAILED, TaskState.REJECTED]))
            elif not is_running(task):
                self.world.report(task, RUNNING)
            elif task.desired_state == COMPLETE:
                self.world.report(task, COMPLETE)

    # --- what must hold

    def check(self):
        for service in self.world.state.services.values():
            tasks = self.world.state.tasks_of_service(service.id)
            self.check_places(service, tasks)
            self.check_nodes(service, tasks)
            if is_job(service.spec):
                self.check_job(service, tasks)

    def check_places(self, service, tasks):
        live = Counter(self.place(service, task) for task in tasks if is_live(task))
        job = is_job(service.spec)
        assert max(live.values(), default=0) <= (1 if job else 2), "at most one takes over"
        for place, count in live.items():
            if count == 2:
                pair = [t for t in tasks if is_live(t) and self.place(service, t) == place]
                old, new = sorted(pair, key=lambda t: (bool(t.replaces), t.created_at))
                assert new.replaces, "only what takes over runs beside another"
                assert is_running(old) or not is_running(new)
        if mode_of(service.spec) == "replicated":
            assert len(live) <= replicas_of(service.spec)
            assert all(number >= 1 for number in live)

    def place(self, service, task):
        return task.node_id if is_everywhere(service.spec) else task.slot

    def check_nodes(self, service, tasks):
        for task in tasks:
            node = self.world.state.nodes.get(task.node_id) if is_placed(task) else None
            if not is_live(task) or node is None:
                assert not is_live(task) or not is_placed(task), "no live task without its node"
                continue
            assert node.state != "down"
            if is_displaced(self.world.state, task):
                successors = [t for t in tasks if t.replaces == task.id]
                assert is_running(task) and successors, "it waits for its replacement only"
                assert self.world.now < successors[0].created_at + 300

    def check_job(self, service, tasks):
        own = [t for t in tasks if t.job_iteration == service.job.iteration]
        done = Counter(self.place(service, t) for t in own if t.status.state == COMPLETE)
        assert max(done.values(), default=0) <= 1, "a result is a result"
        if mode_of(service.spec) == "replicated-job":
            total, at_once = job_size(service.spec)
            live = sum(1 for t in own if is_live(t))
            assert live <= at_once
            assert live + len(done) <= total
        for task in tasks:
            assert task.desired_state != RUNNING
            if task.job_iteration != service.job.iteration:
                assert not task.wanted

    # --- the end

    def calm(self):
        """Nothing goes wrong any more, and what was paused is asked for again."""
        self.heal()
        for node in list(self.world.state.nodes.values()):
            spec = replace(node.spec, availability="active")
            self.world.change(control.update_node, node.id, node.version, spec)
        for service in list(self.world.state.services.values()):
            spec = service.spec
            self.world.change(control.update_service, service.id, service.version, spec)
        for _ in range(200):
            wake = self.world.settle()
            self.check()
            self.hosts(0.0)
            self.world.now += 1.0 if wake is None else min(max(wake - self.world.now, 0.1), 5.0)

    def check_end(self):
        state = self.world.state
        for service in state.services.values():
            tasks = state.tasks_of_service(service.id)
            fit = [n for n in state.nodes.values() if suits(service.spec, n) and is_open(n)]
            if is_job(service.spec):
                own = [t for t in tasks if t.job_iteration == service.job.iteration]
                done = {self.place(service, t) for t in own if t.status.state == COMPLETE}
                numbers = set(range(job_size(service.spec)[0])) if fit else set()
                everywhere = is_everywhere(service.spec)
                assert done == ({n.id for n in fit} if everywhere else numbers)
                continue
            if not fit and not is_everywhere(service.spec):
                continue  # The update waits for a host, and what ran before goes on.
            running = [t for t in tasks if is_live(t) and is_running(t)]
            wanted = len(fit) if is_everywhere(service.spec) else replicas_of(service.spec)
            assert len(running) == wanted
            assert all(t.spec == service.spec.task_template for t in running)
            assert {t.node_id for t in running} <= {n.id for n in fit}
            status = service.update_status
            assert status is None or status.state not in UNDER_WAY


@pytest.mark.parametrize("seed", range(25))
def test_a_life(world, seed):
    life = Life(world, seed)
    for _ in range(STEPS):
        if life.dice.random() < 0.4:
            life.act()
        world.settle()
        life.check()
        life.hosts(failures=0.1)
        world.now += life.dice.choice([0.1, 1.0, 3.0])
    life.calm()
    life.check_end()
