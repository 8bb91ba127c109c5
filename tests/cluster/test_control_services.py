import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.cluster import TaskState
from skep.model.container import ConfigReference, SecretReference
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
    GenericResource,
    Limit,
    Mount,
    NetworkAttachmentConfig,
    Placement,
    PortConfig,
    Preference,
    ReplicatedJob,
    Reservation,
    Resources,
    RestartPolicy,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

RPC = "rpc error: code = InvalidArgument desc = "


def port(published, target=80, **rest):
    return PortConfig(target_port=target, published_port=published, **rest)


def refused(swarm, spec, kind=Invalid):
    with pytest.raises(kind) as refusal:
        swarm.change(control.create_service, spec)
    assert type(refusal.value) is kind
    assert not swarm.state.services
    return str(refusal.value)


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


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ({"image": ""}, "ContainerSpec: image reference must be provided"),
        ({"image": "Nginx:"}, 'ContainerSpec: "Nginx:" is not a valid repository/tag'),
        ({"image": "a//b"}, 'ContainerSpec: "a//b" is not a valid repository/tag'),
        ({"image": "a" * 600}, f'ContainerSpec: "{"a" * 600}" is not a valid repository/tag'),
        (
            {
                "container_spec": ContainerSpec(
                    image="a", mounts=(Mount(target="/d"), Mount(target="/d"))
                )
            },
            "ContainerSpec: duplicate mount point: /d",
        ),
        (
            {"resources": Resources(limits=Limit(nano_cpus=500_000))},
            "invalid cpu value 0.0005: Must be at least 0.001",
        ),
        (
            {"resources": Resources(reservations=Reservation(memory_bytes=1024))},
            "invalid memory value 1024: Must be at least 4MiB",
        ),
        (
            {"restart_policy": RestartPolicy(delay=-1)},
            "TaskSpec: restart-delay cannot be negative",
        ),
        (
            {"restart_policy": RestartPolicy(window=-1)},
            "TaskSpec: restart-window cannot be negative",
        ),
        ({"name": "a.b"}, "name must be valid as a DNS name component"),
        ({"replicas": -1}, "Number of replicas must be non-negative"),
        (
            {"mode": "dnsrr", "ports": (port(80),)},
            "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (
            {"ports": (port(80), port(80, 81))},
            "EndpointSpec: duplicate published ports provided",
        ),
    ],
)
def test_a_wrong_spec_is_refused_in_dockers_words(swarm, template, sentence):
    assert refused(swarm, swarm.spec(**template)) == RPC + sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"delay": -1}, "TaskSpec: update-delay cannot be negative"),
        ({"monitor": -1}, "TaskSpec: update-monitor cannot be negative"),
        (
            {"max_failure_ratio": 1.5},
            "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        ),
    ],
)
@pytest.mark.parametrize("field", ["update_config", "rollback_config"])
def test_a_wrong_update_config_is_refused(swarm, field, config, sentence):
    spec = replace(swarm.spec(), **{field: UpdateConfig(**config)})
    assert refused(swarm, spec) == RPC + sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": ServiceMode(global_={})},
        {"mode": ServiceMode(replicated_job=ReplicatedJob(max_concurrent=1))},
        {"mode": ServiceMode(global_job={})},
        {"update_config": UpdateConfig(order="start-first")},
        {"update_config": UpdateConfig(failure_action="rollback")},
        {"endpoint_spec": EndpointSpec(ports=(port(80, publish_mode="host"),))},
        {"task_template": TaskSpec(runtime="plugin")},
    ],
)
def test_what_is_not_done_yet_is_refused(swarm, changes):
    sentence = refused(swarm, replace(swarm.spec(), **changes), Unsupported)
    assert "not supported" in sentence


@pytest.mark.parametrize(
    "template",
    [
        {"placement": Placement(preferences=(Preference(),))},
        {"resources": Resources(reservations=Reservation(generic_resources=(GenericResource(),)))},
        {"container_spec": ContainerSpec(image="a", secrets=(SecretReference(),))},
        {"container_spec": ContainerSpec(image="a", configs=(ConfigReference(),))},
    ],
)
def test_what_placing_would_ignore_is_refused(swarm, template):
    assert "not supported yet" in refused(swarm, swarm.spec(**template), Unsupported)


@pytest.mark.parametrize(
    "endpoint",
    [
        EndpointSpec(mode="other"),
        EndpointSpec(ports=(port(80, protocol="icmp"),)),
        EndpointSpec(ports=(port(80, 0),)),
        EndpointSpec(ports=(port(70000),)),
        EndpointSpec(ports=(port(80, publish_mode="both"),)),
    ],
)
def test_an_impossible_endpoint_is_refused(swarm, endpoint):
    refused(swarm, replace(swarm.spec(), endpoint_spec=endpoint))


@pytest.mark.parametrize(
    "image",
    [
        "nginx", "nginx:1.25", "docker.io/library/nginx", "localhost:5000/a/b_c-d.e:x",
        "Reg.Example.com/a__b@sha256:" + "0" * 64, "a.b/c",
    ],
)  # fmt: skip
def test_images_may_be_named_in_all_of_dockers_ways(swarm, image):
    swarm.create(image=image)


def test_ports_may_share_a_number_across_protocols_and_ask_for_any(swarm):
    swarm.create(ports=(port(53), port(53, protocol="udp"), port(0), port(0)))


def test_wrong_constraints_are_refused_in_dockers_words(swarm):
    spec = swarm.spec(placement=Placement(constraints=("node.role",)))
    sentence = refused(swarm, spec)
    assert sentence == (
        "rpc error: code = Unknown desc = constraint expected one operator from ==, !="
    )


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


# --- clashes of ports


def test_a_published_port_is_used_once(swarm):
    id = swarm.create("web2", ports=(port(80),))
    with pytest.raises(Invalid) as refusal:
        swarm.create("p2", ports=(port(80, 8080),))
    assert str(refusal.value) == (
        f"{RPC}port '80' is already in use by service 'web2' ({id}) as an ingress port"
    )
    swarm.create("udp", ports=(port(80, protocol="udp"),))


def test_a_dynamic_port_is_in_use_too(swarm):
    swarm.create("any", ports=(port(0),))
    swarm.settle()
    with pytest.raises(Invalid, match="port '30000' is already in use by service 'any'"):
        swarm.create("p2", ports=(port(30000),))


def test_a_service_does_not_clash_with_itself(swarm):
    swarm.create("web", ports=(port(80),))
    swarm.update("web", endpoint_spec=EndpointSpec(ports=(port(80), port(81))))


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


def test_services_are_not_renamed_or_made_global(swarm):
    swarm.create("web")
    with pytest.raises(Unsupported) as refusal:
        swarm.update("web", name="api")
    assert str(refusal.value) == (
        "rpc error: code = Unimplemented desc = renaming services is not supported"
    )
    with pytest.raises(Unsupported):
        swarm.update("web", mode=ServiceMode(global_={}))


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


def test_every_refusal_leaves_the_state_alone(swarm):
    before = swarm.revision
    for spec in (ServiceSpec(), swarm.spec(networks=("x",)), swarm.spec(image="")):
        with pytest.raises(Refusal):
            swarm.change(control.create_service, spec)
    assert swarm.revision == before
