import pytest
from msgspec.structs import replace
from refusing import RPC, port, refused

from skep.cluster import control
from skep.cluster.lives import is_dead
from skep.model.cluster import TaskState
from skep.model.errors import (
    Clash,
    Forbidden,
    Invalid,
    Missing,
    OutOfSequence,
    Refusal,
    Unsupported,
)
from skep.model.spec import (
    ContainerSpec,
    EndpointSpec,
    NetworkAttachmentConfig,
    ReplicatedJob,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

# --- creating


def test_a_service_is_created_with_networks_by_id(swarm):
    net = swarm.network("a")
    id = swarm.create("web", networks=("a",))
    service = swarm.state.services[id]
    assert service.spec.task_template.networks == (NetworkAttachmentConfig(target=net),)
    assert (service.created_at, service.spec_version) == (swarm.now, 1)


def test_the_older_place_for_networks_works_too(swarm):
    net = swarm.network("a")
    spec = replace(swarm.spec(), networks=(NetworkAttachmentConfig(target=net[:10]),))
    swarm.change(control.create_service, spec)
    swarm.obey()
    assert swarm.service("web").spec.networks[0].target == net
    assert [a.network_id for a in swarm.tasks("web")[0].attachments] == [net]


def test_a_nameless_service_is_named_after_its_id(swarm):
    id = swarm.create("")
    assert swarm.state.services[id].spec.name == f"service_{id[:8]}"


def test_names_are_unique(swarm):
    swarm.create("web")
    with pytest.raises(Clash) as refusal:
        swarm.create("web")
    assert str(refusal.value) == (
        "rpc error: code = AlreadyExists desc = "
        "name conflicts with an existing object: service web already exists"
    )


def test_an_empty_spec_is_refused_as_docker_does(swarm):
    assert refused(swarm, ServiceSpec()) == "mismatched Runtime and *Spec fields"


# --- networks of services


def test_an_unknown_network_is_missing(swarm):
    sentence = refused(swarm, swarm.spec(networks=("nosuch",)), Missing)
    assert sentence == "network nosuch not found"


def test_the_ingress_network_cannot_be_asked_for(swarm):
    sentence = refused(swarm, swarm.spec(networks=("ingress",)))
    assert sentence == (
        f'{RPC}Service cannot be explicitly attached to the ingress network "ingress"'
    )


def test_networks_of_one_host_are_not_for_services(swarm):
    sentence = refused(swarm, swarm.spec(networks=("bridge",)), Forbidden)
    assert sentence == (
        "The network bridge cannot be used with services. Only networks scoped to the swarm "
        "can be used, such as those created with the overlay driver."
    )
    refused(swarm, swarm.spec(networks=("host",)), Unsupported)


def test_a_network_is_given_once_and_without_driver_options(swarm):
    id = swarm.network("a")
    refused(swarm, swarm.spec(networks=("a", id)))
    config = NetworkAttachmentConfig(target="a", driver_opts={"x": "y"})
    template = TaskSpec(container_spec=ContainerSpec(image="a"), networks=(config,))
    refused(swarm, replace(swarm.spec(), task_template=template), Unsupported)


# --- updating


def test_an_update_keeps_the_previous_spec(swarm):
    swarm.create("web")
    before = swarm.service("web")
    swarm.now += 5
    swarm.update("web", labels={"a": "b"})
    after = swarm.service("web")
    assert (after.previous_spec, after.spec.labels) == (before.spec, {"a": "b"})
    assert after.version > before.version
    assert (after.created_at, after.updated_at) == (before.created_at, swarm.now)


def test_a_stale_update_is_out_of_sequence(swarm):
    swarm.create("web")
    service = swarm.service("web")
    swarm.scale("web", 2)
    with pytest.raises(OutOfSequence) as refusal:
        swarm.change(control.update_service, "web", service.version, service.spec)
    assert str(refusal.value) == "rpc error: code = Unknown desc = update out of sequence"


def test_only_what_tasks_are_made_from_makes_a_new_version_of_them(swarm):
    swarm.create("web")
    swarm.scale("web", 3)
    assert swarm.service("web").spec_version == 1
    swarm.update("web", update_config=UpdateConfig(parallelism=2), labels={"a": "b"})
    assert swarm.service("web").spec_version == 1
    template = replace(swarm.service("web").spec.task_template, force_update=1)
    swarm.update("web", task_template=template)
    assert swarm.service("web").spec_version == 2
    swarm.update("web", endpoint_spec=EndpointSpec(ports=(port(80),)))
    assert swarm.service("web").spec_version == 3
    swarm.update("web", endpoint_spec=EndpointSpec(ports=(port(81),)))
    assert swarm.service("web").spec_version == 3


def test_services_do_not_change_name_or_mode(swarm):
    swarm.create("web")
    with pytest.raises(Unsupported) as refusal:
        swarm.update("web", name="api")
    assert str(refusal.value) == (
        "rpc error: code = Unimplemented desc = renaming services is not supported"
    )
    for mode in (ServiceMode(global_={}), ServiceMode(replicated_job=ReplicatedJob())):
        with pytest.raises(Unsupported) as refusal:
            swarm.update("web", mode=mode)
        assert str(refusal.value) == (
            "rpc error: code = Unimplemented desc = service mode change is not allowed"
        )
    swarm.update("web", mode=ServiceMode())


def test_an_update_is_checked_like_a_creation(swarm):
    swarm.create("web")
    with pytest.raises(Invalid):
        swarm.update("web", task_template=TaskSpec(container_spec=ContainerSpec()))
    with pytest.raises(Missing, match="service nosuch not found"):
        swarm.change(control.update_service, "nosuch", 1, swarm.spec())


def test_rolling_back_swaps_the_specs(swarm):
    id = swarm.create("web", image="nginx:1")
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.rollback_service, "web", swarm.service("web").version)
    assert str(refusal.value) == (
        f"rpc error: code = FailedPrecondition desc = service {id} does not have a previous spec"
    )
    swarm.update("web", task_template=TaskSpec(container_spec=ContainerSpec(image="nginx:2")))
    swarm.change(control.rollback_service, "web", swarm.service("web").version)
    service = swarm.service("web")
    assert service.spec.task_template.container_spec.image == "nginx:1"
    assert service.previous_spec.task_template.container_spec.image == "nginx:2"
    with pytest.raises(OutOfSequence):
        swarm.change(control.rollback_service, "web", service.version - 1)


# --- removing


def test_a_removed_services_tasks_go_when_their_hosts_say_so(swarm):
    swarm.create("web", 2)
    swarm.obey()
    tasks = swarm.tasks("web")
    swarm.change(control.remove_service, "web")
    swarm.settle()
    assert {swarm.state.tasks[t.id].desired_state for t in tasks} == {TaskState.REMOVE}
    swarm.report(tasks[0], TaskState.SHUTDOWN)
    swarm.settle()
    assert set(swarm.state.tasks) == {tasks[1].id}
    swarm.obey()
    assert not swarm.state.tasks
    with pytest.raises(Missing, match="service web not found"):
        swarm.change(control.remove_service, "web")


def test_no_ended_task_of_a_removed_service_is_ever_seen(swarm):
    """``docker stack rm --detach=false`` counts an ended task each time it looks, and ends when it
    has counted as many as there are: if some are seen before there are fewer, never."""
    swarm.create("web", 2)
    swarm.obey()
    failed, lives = swarm.tasks("web")
    swarm.report(failed, TaskState.FAILED)
    swarm.settle()
    assert failed.id in swarm.state.tasks, "it is history"
    swarm.change(control.remove_service, "web")
    assert not any(is_dead(task) for task in swarm.state.tasks.values())
    swarm.report(lives, TaskState.SHUTDOWN)
    assert lives.id not in swarm.state.tasks


def test_every_refusal_leaves_the_state_alone(swarm):
    before = swarm.revision
    for spec in (ServiceSpec(), swarm.spec(networks=("x",)), swarm.spec(image="")):
        with pytest.raises(Refusal):
            swarm.change(control.create_service, spec)
    assert swarm.revision == before
