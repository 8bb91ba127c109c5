"""Going back to what was before, by hand and by itself."""

import pytest
from updating import (
    BAD,
    FAILED,
    OLD,
    SOON,
    begin,
    images,
    play,
    status,
    step,
    template,
    update,
)

from skep.cluster import control
from skep.model.errors import Invalid
from skep.model.spec import (
    SECOND,
    ContainerSpec,
    EndpointSpec,
    PortConfig,
    UpdateConfig,
)


def test_a_failure_rolls_the_service_back(swarm):
    begin(swarm, BAD, failure_action="rollback")
    before = swarm.service("web").previous_spec
    step(swarm)
    step(swarm)
    swarm.settle()
    failed = next(t for t in swarm.tasks("web") if t.status.state == FAILED)
    assert status(swarm) == (
        "rollback_started",
        f"update rolled back due to failure or early termination of task {failed.id}",
    )
    service = swarm.service("web")
    assert (service.spec, service.previous_spec) == (before, None)
    play(swarm)
    assert images(swarm) == [OLD] * 3
    assert swarm.settle() == swarm.now + 5
    swarm.now += 5
    swarm.settle()
    assert status(swarm) == ("rollback_completed", "rollback completed")


def test_a_roll_back_touches_only_what_was_renewed(swarm):
    swarm.create("web", 3, image=OLD, restart_policy=SOON)
    swarm.obey()
    before = {task.id for task in swarm.live("web")}
    update(swarm, BAD, failure_action="rollback")
    play(swarm)
    assert len(before & {task.id for task in swarm.live("web")}) == 2


def test_a_roll_back_that_fails_is_paused_not_rolled_back(swarm):
    rollback = UpdateConfig(parallelism=1, failure_action="rollback")
    swarm.create("web", 2, image=OLD, restart_policy=SOON)
    swarm.update("web", rollback_config=rollback)
    swarm.obey()
    update(swarm, BAD, failure_action="rollback")
    play(swarm, fail=(BAD, OLD))
    state, message = status(swarm)
    assert state == "rollback_paused"
    assert message.startswith("rollback paused due to failure or early termination of task ")


def test_a_roll_back_follows_its_own_rules(swarm):
    swarm.create("web", 4, image=OLD, restart_policy=SOON)
    swarm.update("web", rollback_config=UpdateConfig(parallelism=2, monitor=60 * SECOND))
    swarm.obey()
    update(swarm, rollback=UpdateConfig(parallelism=1), parallelism=0)
    play(swarm)
    swarm.change(control.rollback_service, "web", swarm.service("web").version)
    assert status(swarm) == ("rollback_started", "manually requested rollback")
    swarm.settle()
    assert len(swarm.stopping("web")) == 2
    play(swarm)
    assert images(swarm) == [OLD] * 4
    assert swarm.settle() == swarm.now + 60
    swarm.now += 60
    swarm.settle()
    assert status(swarm) == ("rollback_completed", "rollback completed")


def test_rolling_back_what_renews_no_task_is_complete_at_once(swarm):
    swarm.create("web", 3)
    swarm.update("web", labels={"a": "b"})
    swarm.obey()
    swarm.change(control.rollback_service, "web", swarm.service("web").version)
    swarm.settle()
    assert status(swarm) == ("rollback_completed", "rollback completed")
    assert swarm.service("web").spec.labels == {}


def test_a_roll_back_that_is_not_possible_pauses(swarm):
    port = PortConfig(target_port=80, published_port=80)
    swarm.create("web", 1, image=OLD, restart_policy=SOON, ports=(port,))
    swarm.obey()
    swarm.update(
        "web",
        task_template=template(BAD),
        endpoint_spec=EndpointSpec(),
        update_config=UpdateConfig(parallelism=1, failure_action="rollback"),
    )
    swarm.settle()
    swarm.create("thief", 0, ports=(port,))
    play(swarm)
    state, message = status(swarm)
    assert state == "paused"
    assert message.endswith(
        "it cannot be rolled back: port '80' is already in use by service 'thief' "
        f"({swarm.service('thief').id}) as an ingress port"
    )
    with pytest.raises(Invalid, match="port '80' is already in use by service 'thief'"):
        swarm.change(control.rollback_service, "web", swarm.service("web").version)


def test_going_back_to_a_secret_that_is_gone_is_said_in_words(swarm):
    secret = swarm.secret("key")
    spec = ContainerSpec(image=OLD, secrets=(secret,))
    swarm.create("web", 1, container_spec=spec, restart_policy=SOON)
    swarm.obey()
    update(swarm, BAD, failure_action="rollback")
    swarm.change(control.remove_secret, "key")
    play(swarm)
    swarm.now += 1
    swarm.settle()
    (task,) = swarm.live("web")
    assert task.status.error == f"secret {secret.secret_id} not found"
