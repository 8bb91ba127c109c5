"""What the container of a service may be: mounts, health checks, secrets and configs."""

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.container import (
    BindOptions,
    ConfigReference,
    ContainerSpec,
    DriverConfig,
    FileTarget,
    HealthConfig,
    Mount,
    SecretReference,
    TmpfsOptions,
    VolumeOptions,
)
from skep.model.errors import Invalid, Unsupported

RPC = "rpc error: code = InvalidArgument desc = "


def refused(swarm, kind=Invalid, **container):
    spec = swarm.spec(container_spec=ContainerSpec(image="a", **container))
    with pytest.raises(kind) as refusal:
        swarm.change(control.create_service, spec)
    assert type(refusal.value) is kind
    assert not swarm.state.services
    return str(refusal.value)


def accepted(swarm, **container):
    return swarm.create("ok", container_spec=ContainerSpec(image="a", **container))


# --- mounts


@pytest.mark.parametrize(
    "mount",
    [
        {"type": "volume", "source": "v1", "target": "/v"},
        {"type": "volume", "target": "/anonymous"},
        {"type": "bind", "source": "/s", "bind_options": BindOptions(propagation="rslave")},
        {"type": "tmpfs", "tmpfs_options": TmpfsOptions(size_bytes=4096)},
        {"volume_options": VolumeOptions(driver_config=DriverConfig(name="local"))},
    ],
)
def test_mounts_of_every_kind(swarm, mount):
    accepted(swarm, mounts=(Mount(**{"target": "/t", **mount}),))


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"target": "data"}, "invalid mount target, must be an absolute path: data"),
        ({"target": ""}, "invalid mount target, must be an absolute path: "),
        (
            {"type": "bind", "source": "data"},
            "invalid bind mount source, must be an absolute path: data",
        ),
        (
            {"type": "volume", "source": "/data"},
            "invalid volume mount source, must not be an absolute path: /data",
        ),
        ({"type": "tmpfs", "source": "x"}, "invalid tmpfs source, source must be empty"),
    ],
)
def test_impossible_mounts(swarm, mount, sentence):
    assert refused(swarm, mounts=(Mount(**{"target": "/t", **mount}),)) == RPC + sentence


def test_a_place_is_mounted_once(swarm):
    twice = (Mount(target="/d"), Mount(target="/d", type="tmpfs"))
    assert refused(swarm, mounts=twice) == f"{RPC}ContainerSpec: duplicate mount point: /d"


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"type": "floppy"}, 'invalid MountType: "floppy"'),
        (
            {"type": "bind", "source": "/", "bind_options": BindOptions(propagation="up")},
            'invalid MountPropagation: "up"',
        ),
        (
            {"type": "tmpfs", "bind_options": BindOptions()},
            "bind options cannot be used with a mount of type tmpfs",
        ),
    ],
)
def test_words_of_mounts_that_nobody_knows(swarm, mount, sentence):
    assert refused(swarm, mounts=(Mount(**{"target": "/t", **mount}),)) == sentence


@pytest.mark.parametrize("kind", ["npipe", "cluster", "image"])
def test_kinds_of_mounts_that_docker_has_and_we_do_not(swarm, kind):
    sentence = refused(swarm, Unsupported, mounts=(Mount(type=kind, source="x", target="/t"),))
    assert sentence == f"mounts of type {kind} are not supported: bind, volume, tmpfs are"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (VolumeOptions(driver_config=DriverConfig(name="nfs-plugin")), "nfs-plugin"),
        (VolumeOptions(subpath="inner/part"), "inner/part"),
    ],
)
def test_volumes_that_are_not_local_or_not_whole(swarm, options, named):
    mount = Mount(source="v", target="/t", volume_options=options)
    assert named in refused(swarm, Unsupported, mounts=(mount,))


# --- health checks

MILLISECOND = 1_000_000


@pytest.mark.parametrize("field", ["interval", "timeout", "start_period", "start_interval"])
def test_health_checks_count_in_milliseconds(swarm, field):
    name = "".join(part.capitalize() for part in field.split("_"))
    for duration in (1, MILLISECOND - 1, -1):
        sentence = refused(swarm, healthcheck=HealthConfig(**{field: duration}))
        assert sentence == f"{RPC}ContainerSpec: {name} in HealthConfig cannot be less than 1ms"
    accepted(swarm, healthcheck=HealthConfig(**{field: MILLISECOND}))


def test_health_checks_of_every_kind(swarm):
    for number, test in enumerate(((), ("NONE",), ("CMD", "true"), ("CMD-SHELL", "true"))):
        spec = ContainerSpec(image="a", healthcheck=HealthConfig(test=test))
        swarm.create(f"s{number}", container_spec=spec)


def test_impossible_health_checks(swarm):
    sentence = refused(swarm, healthcheck=HealthConfig(retries=-1))
    assert sentence == f"{RPC}ContainerSpec: Retries in HealthConfig cannot be negative"
    assert "PING" in refused(swarm, healthcheck=HealthConfig(test=("PING",)))


# --- secrets and configs


@pytest.mark.parametrize("word", ["secret", "config"])
def test_references_are_whole(swarm, word):
    kind = SecretReference if word == "secret" else ConfigReference
    plural = f"{word}s"
    whole = {f"{word}_id": "i", f"{word}_name": "n", "file": FileTarget(name="f")}
    for change, sentence in (
        ({f"{word}_id": ""}, f"malformed {word} reference"),
        ({f"{word}_name": ""}, f"malformed {word} reference"),
        ({"file": None}, f"malformed {word} reference, no target provided"),
        (
            {"file": FileTarget(name="")},
            f"malformed file {word} reference, invalid target file name provided",
        ),
        (
            {"file": FileTarget(name="f", uid="root")},
            f"malformed {word} reference, 'root' is not a numeric id",
        ),
        *(
            (
                {"file": FileTarget(name="f", gid=nobody)},
                f"malformed {word} reference, {nobody!r} is not a numeric id",
            )
            for nobody in ("4294967295", "9" * 5000)
        ),
        ({}, f"{word} not found: n"),
    ):
        reference = kind(**{**whole, **change})
        assert refused(swarm, **{plural: (reference,)}) == RPC + sentence


def test_references_name_what_there_is(swarm):
    key, other = swarm.secret("key"), swarm.secret("other")
    renamed = replace(key, secret_name="other")
    gone = replace(other, secret_id="nosuch", file=FileTarget(name="x"))
    sentence = refused(swarm, secrets=(renamed, gone))
    assert sentence == f"{RPC}secrets not found: other, other"
    accepted(swarm, secrets=(key, other), configs=(swarm.config("conf"),))


def test_updates_are_checked_too(swarm):
    key = swarm.secret("key")
    swarm.create("web", container_spec=ContainerSpec(image="a", secrets=(key,)))
    gone = replace(key, secret_id="nosuch")
    template = swarm.spec(container_spec=ContainerSpec(image="a", secrets=(gone,))).task_template
    with pytest.raises(Invalid, match="secret not found: key"):
        swarm.update("web", task_template=template)


def test_a_place_is_one_files(swarm):
    one, two = swarm.secret("one", "same"), swarm.secret("two", "same")
    assert refused(swarm, secrets=(one, two)) == (
        f"{RPC}secret references 'one' and 'two' have a conflicting target: 'same'"
    )
    one, two = swarm.config("one", "/etc/x"), swarm.config("two", "/etc/x")
    assert refused(swarm, configs=(one, two)) == (
        f"{RPC}config references 'one' and 'two' have a conflicting target: '/etc/x'"
    )
    secret, config = swarm.secret("s", "s"), swarm.config("c", "/run/secrets/s")
    assert refused(swarm, secrets=(secret,), configs=(config,)) == (
        f"{RPC}secret 's' and config 'c' have a conflicting target: '/run/secrets/s'"
    )
    accepted(swarm, secrets=(secret,), configs=(swarm.config("d", "s"),))
