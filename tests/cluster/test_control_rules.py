import pytest
from msgspec.structs import replace
from refusing import RPC, port, refused

from skep.model.errors import (
    Invalid,
    Unsupported,
)
from skep.model.spec import (
    ContainerSpec,
    DiscreteResource,
    DriverConfig,
    EndpointSpec,
    GenericResource,
    Limit,
    NamedResource,
    Placement,
    Preference,
    Replicated,
    ReplicatedJob,
    Reservation,
    Resources,
    RestartPolicy,
    ServiceMode,
    SpreadOver,
    UpdateConfig,
)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ({"image": ""}, "ContainerSpec: image reference must be provided"),
        ({"image": "Nginx:"}, 'ContainerSpec: "Nginx:" is not a valid repository/tag'),
        ({"image": "a//b"}, 'ContainerSpec: "a//b" is not a valid repository/tag'),
        ({"image": "a" * 600}, f'ContainerSpec: "{"a" * 600}" is not a valid repository/tag'),
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
        (
            {"restart_policy": RestartPolicy(max_attempts=-1)},
            "TaskSpec: restart-max-attempts cannot be negative",
        ),
        (
            {"placement": Placement(max_replicas=-1)},
            "TaskSpec: replicas-max-per-node cannot be negative",
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
        ({"parallelism": -1}, "TaskSpec: update-parallelism cannot be negative"),
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
    ("template", "named"),
    [
        ({"runtime": "plugin"}, "plugin"),
        ({"log_driver": DriverConfig(name="fluentd")}, "fluentd"),
        ({"container_spec": ContainerSpec(image="a", isolation="hyperv")}, "hyperv"),
    ],
)
def test_what_is_not_done_is_refused_by_name(swarm, template, named):
    spec = swarm.spec()
    task = replace(spec.task_template, **template)
    sentence = refused(swarm, replace(spec, task_template=task), Unsupported)
    assert named in sentence
    assert "not supported" in sentence


@pytest.mark.parametrize("name", ["", "json-file", "local", "journald", "none"])
def test_log_drivers_that_hosts_have(swarm, name):
    swarm.create(log_driver=DriverConfig(name=name, options={"max-size": "1m"}))


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        (
            ServiceMode(global_={}, replicated=Replicated(replicas=1)),
            "must specify only one service mode",
        ),
        (
            ServiceMode(global_job={}, replicated_job=ReplicatedJob()),
            "must specify only one service mode",
        ),
    ],
)
def test_a_service_has_one_mode(swarm, mode, sentence):
    assert refused(swarm, swarm.spec(service_mode=mode)) == sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (UpdateConfig(order="sideways"), "unrecognized update order sideways"),
        (UpdateConfig(failure_action="panic"), "unrecognized update failure action panic"),
    ],
)
def test_words_of_updates_that_nobody_knows(swarm, config, sentence):
    assert refused(swarm, replace(swarm.spec(), update_config=config)) == sentence


def generic(kind="gpu", value=1):
    return GenericResource(discrete_resource_spec=DiscreteResource(kind=kind, value=value))


def reserving(*resources):
    return {"resources": Resources(reservations=Reservation(generic_resources=resources))}


def test_generic_resources_are_numbers_of_units(swarm):
    swarm.create("web", **reserving(generic(), generic("ssd", 3)))
    for wrong in (
        GenericResource(),
        generic("", 1),
        generic("gpu", 0),
        generic("gpu", -1),
        GenericResource(named_resource_spec=NamedResource(kind="gpu", value="UUID1")),
    ):
        with pytest.raises(Invalid, match="resource"):
            swarm.create("other", **reserving(wrong))


def spread(descriptor):
    preference = Preference(spread=SpreadOver(spread_descriptor=descriptor))
    return {"placement": Placement(preferences=(preference,))}


@pytest.mark.parametrize(
    "descriptor", ["node.labels.rack", "Node.Labels.rack", "engine.labels.zone", "node.hostname"]
)
def test_preferences_name_what_nodes_say(swarm, descriptor):
    swarm.create(**spread(descriptor))


@pytest.mark.parametrize("descriptor", ["", "rack", "node.labels.", "labels.rack"])
def test_preferences_that_mean_nothing_are_refused(swarm, descriptor):
    assert f"spread={descriptor} is invalid" in refused(swarm, swarm.spec(**spread(descriptor)))


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
