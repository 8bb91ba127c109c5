import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.model.cluster import NodeDescription, Platform, TaskState
from skep.model.spec import (
    SECOND,
    ContainerSpec,
    Placement,
    PortConfig,
    Reservation,
    Resources,
    RestartPolicy,
    ServiceMode,
    TaskSpec,
    UpdateConfig,
)

RUNNING, SHUTDOWN = TaskState.RUNNING, TaskState.SHUTDOWN
EVERYWHERE = ServiceMode(global_={})


def create(world, name="web", **rest):
    return world.create(name, service_mode=EVERYWHERE, **rest)


def hosts(world, name="web"):
    return sorted(world.state.nodes[t.node_id].description.hostname for t in world.live(name))


def constrained(*constraints, **rest):
    return {"placement": Placement(constraints=constraints, **rest)}


def template(image="nginx:2", **rest):
    return TaskSpec(container_spec=ContainerSpec(image=image), **rest)


def test_one_task_per_host_named_after_it(swarm):
    create(swarm)
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3"]
    (task,) = swarm.on("web", "h2")
    assert (task.slot, task.name) == (0, f"web.{task.node_id}.{task.id}")


def test_a_task_knows_its_host_from_the_start_but_the_host_does_not_know_it(swarm):
    net = swarm.network("net", "10.5.0.0/30")
    swarm.network("free")
    create(swarm, networks=("net",), mode="dnsrr")
    swarm.settle()
    waiting = [task for task in swarm.tasks("web") if task.status.state == TaskState.NEW]
    assert len(waiting) == 2
    for task in waiting:
        assert task.node_id
        assert task.status.error == "network net: 1 of 1 addresses in use"
        assignment = assign(swarm.state, task.node_id)
        assert assignment.tasks == {}
        assert net not in assignment.networks


def test_a_host_that_joins_gets_its_task(swarm):
    create(swarm)
    swarm.obey()
    swarm.change(control.add_node, swarm.host("h4"))
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3", "h4"]


def test_a_host_that_is_not_ready_yet_waits_for_its_task(swarm):
    create(swarm)
    swarm.change(control.add_node, replace(swarm.host("h4"), state="unknown"))
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3"]
    swarm.up("h4")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3", "h4"]


def test_a_drained_hosts_task_stops_and_is_not_made_elsewhere(swarm):
    create(swarm)
    swarm.obey()
    swarm.node_spec("h2", availability="drain")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h3"]
    (gone,) = swarm.on("web", "h2")
    assert (gone.desired_state, gone.status.state) == (SHUTDOWN, SHUTDOWN)
    swarm.node_spec("h2", availability="active")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3"]


def test_a_paused_host_keeps_its_task_but_gets_none(swarm):
    swarm.node_spec("h3", availability="pause")
    create(swarm)
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2"]
    swarm.node_spec("h2", availability="pause")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2"]
    swarm.report(swarm.on("web", "h2")[0], TaskState.FAILED)
    swarm.now += 100
    swarm.obey()
    assert hosts(swarm) == ["h1"]
    swarm.node_spec("h2", availability="active")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2"]


def test_a_lost_hosts_task_is_made_again_when_it_is_back_and_has_stopped_the_old_one(swarm):
    create(swarm)
    swarm.obey()
    swarm.down("h2")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h3"]
    (old,) = swarm.on("web", "h2")
    assert old.desired_state == SHUTDOWN
    swarm.up("h2")
    swarm.settle()
    assert swarm.live("web") == [t for t in swarm.live("web") if t.node_id != old.node_id]
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3"]
    assert swarm.state.tasks[old.id].status.state == SHUTDOWN


def test_a_removed_hosts_tasks_are_forgotten(swarm):
    create(swarm)
    swarm.obey()
    swarm.down("h2")
    swarm.settle()
    swarm.change(control.remove_node, "h2")
    swarm.obey()
    assert hosts(swarm) == ["h1", "h3"]
    assert len(swarm.tasks("web")) == 2


def test_constraints_and_labels_are_followed(swarm):
    swarm.node_spec("h1", labels={"disk": "ssd"})
    create(swarm, **constrained("node.labels.disk==ssd"))
    swarm.obey()
    assert hosts(swarm) == ["h1"]
    swarm.node_spec("h3", labels={"disk": "ssd"})
    swarm.node_spec("h1", labels={})
    swarm.obey()
    assert hosts(swarm) == ["h3"]
    swarm.update("web", task_template=template("nginx", **constrained("node.hostname!=h3")))
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2"]


def test_hosts_of_another_platform_are_left_out(swarm):
    node = swarm.node("h2")
    arm = NodeDescription(hostname="h2", platform=Platform("aarch64", "linux"))
    swarm.change(control.update_node_status, node.id, state="ready", description=arm)
    create(swarm, **constrained(platforms=({"Architecture": "amd64", "OS": "linux"},)))
    swarm.obey()
    assert hosts(swarm) == ["h1", "h3"]


def test_what_does_not_fit_waits_on_its_host_and_says_why(swarm):
    reserved = Resources(reservations=Reservation(memory_bytes=9 * 2**30))
    create(swarm, resources=reserved)
    swarm.obey()
    assert len(swarm.live("web")) == 3
    assert {task.status.state for task in swarm.live("web")} == {TaskState.PENDING}
    assert {task.status.error for task in swarm.live("web")} == {
        "no suitable node (1 node: insufficient memory)"
    }
    swarm.change(control.remove_service, "web")
    swarm.settle()
    assert not swarm.state.tasks


@pytest.mark.parametrize("condition", ["any", "on-failure", "none"])
def test_restarts_stay_on_the_host(swarm, condition):
    create(swarm, restart_policy=RestartPolicy(condition=condition, delay=0))
    swarm.obey()
    (old,) = swarm.on("web", "h2")
    swarm.report(old, TaskState.FAILED)
    swarm.obey()
    assert hosts(swarm) == (["h1", "h3"] if condition == "none" else ["h1", "h2", "h3"])


def test_restarts_are_counted_per_host(swarm):
    create(swarm, restart_policy=RestartPolicy(max_attempts=2, delay=0))
    for host, attempts in (("h1", 1), ("h2", 3)):
        for _ in range(attempts):
            swarm.obey()
            swarm.now += 1
            swarm.report(swarm.on("web", host)[-1], TaskState.FAILED)
    swarm.obey()
    assert hosts(swarm) == ["h1", "h3"]


def test_history_is_kept_per_host(swarm):
    create(swarm, restart_policy=RestartPolicy(delay=0))
    for _ in range(8):
        swarm.obey()
        swarm.now += 1
        swarm.report(swarm.on("web", "h2")[-1], TaskState.FAILED)
    swarm.obey()
    assert [len(swarm.on("web", host)) for host in ("h1", "h2", "h3")] == [1, 5, 1]


def test_an_update_renews_one_host_after_the_other(swarm):
    create(swarm)
    swarm.obey()
    swarm.update("web", task_template=template())
    seen = []
    for _ in range(20):
        swarm.settle()
        busy = swarm.stopping("web") + [t for t in swarm.live("web") if t.status.state < RUNNING]
        if not busy:
            break
        (task,) = busy
        swarm.report(task, SHUTDOWN if task.desired_state == SHUTDOWN else RUNNING)
        seen.append(task.node_id)
    assert seen == [node_id for node_id in sorted(swarm.state.nodes) for _ in range(2)]
    assert {t.spec.container_spec.image for t in swarm.live("web")} == {"nginx:2"}


def test_an_update_passes_paused_hosts_by_until_they_take_tasks_again(swarm):
    create(swarm)
    swarm.obey()
    swarm.node_spec("h2", availability="pause")
    swarm.update("web", task_template=template())
    swarm.obey()
    swarm.now += 5
    swarm.obey()
    assert swarm.service("web").update_status.state == "completed"
    assert [t.spec.container_spec.image for t in swarm.live("web")].count("nginx") == 1
    swarm.node_spec("h2", availability="active")
    swarm.obey()
    assert {t.spec.container_spec.image for t in swarm.live("web")} == {"nginx:2"}
    assert swarm.service("web").update_status.state == "completed"


def test_start_first_starts_the_new_task_beside_the_old_one(swarm):
    swarm.network("net")
    create(swarm, networks=("net",))
    swarm.obey()
    config = UpdateConfig(order="start-first", parallelism=1)
    networks = swarm.service("web").spec.task_template.networks
    new = template(networks=networks)
    swarm.update("web", task_template=new, update_config=config)
    swarm.settle()
    first = min(swarm.state.nodes)
    old, new = [t for t in swarm.live("web") if t.node_id == first]
    assert (old.status.state, new.status.state) == (RUNNING, TaskState.ASSIGNED)
    assert old.attachments != new.attachments
    swarm.report(new, RUNNING)
    swarm.settle()
    assert swarm.state.tasks[old.id].desired_state == SHUTDOWN
    swarm.obey()
    assert len(swarm.live("web")) == 3


def test_a_port_of_the_host_keeps_two_services_apart_everywhere(swarm):
    port = PortConfig(target_port=80, published_port=8080, publish_mode="host")
    create(swarm, "one", ports=(port,))
    swarm.obey()
    create(swarm, "two", ports=(port,))
    swarm.obey()
    assert {task.status.error for task in swarm.live("two")} == {
        "no suitable node (1 node: port 8080 in use by service one)"
    }
    swarm.change(control.remove_service, "one")
    swarm.obey()
    assert hosts(swarm, "two") == ["h1", "h2", "h3"]


def test_a_failed_task_waits_for_its_delay(swarm):
    create(swarm, restart_policy=RestartPolicy(delay=7 * SECOND))
    swarm.obey()
    swarm.report(swarm.on("web", "h1")[0], TaskState.FAILED)
    assert swarm.settle() == swarm.now + 7
    swarm.now += 7
    swarm.obey()
    assert hosts(swarm) == ["h1", "h2", "h3"]
