import pytest

from skep.cluster import control
from skep.model.errors import Clash, Invalid, Missing, OutOfSequence, Unsupported
from skep.model.spec import ContainerSpec, DriverConfig, SecretSpec

RPC = "rpc error: code = InvalidArgument desc = "

ACTIONS = {
    "secret": (control.create_secret, control.update_secret, control.remove_secret),
    "config": (control.create_config, control.update_config, control.remove_config),
}
LIMITS = {"secret": 512_000, "config": 1_024_000}

both = pytest.mark.parametrize("word", ["secret", "config"])


def spec(name="sec1", data=b"topsecret", **rest):
    return SecretSpec(name=name, data=data, **rest)


def create(swarm, word, *args, **kwargs):
    return swarm.change(ACTIONS[word][0], spec(*args, **kwargs))


def update(swarm, word, reference, version, wanted):
    swarm.change(ACTIONS[word][1], reference, version, wanted)


def remove(swarm, word, reference):
    swarm.change(ACTIONS[word][2], reference)


def find(swarm, word, reference):
    return getattr(swarm.state, f"find_{word}")(reference)


@both
def test_it_is_kept_and_found(swarm, word):
    id = create(swarm, word, labels={"a": "b"})
    swarm.now += 5
    found = find(swarm, word, "sec1")
    assert (found.id, found.spec) == (id, spec(labels={"a": "b"}))
    assert found.created_at == found.updated_at == swarm.now - 5
    assert find(swarm, word, id) == find(swarm, word, id[:10]) == found
    assert getattr(swarm.state, f"{word}s") == {id: found}
    with pytest.raises(Missing) as refusal:
        find(swarm, word, "nosuch")
    assert str(refusal.value) == f"{word} nosuch not found"


@both
def test_names_are_unique(swarm, word):
    create(swarm, word)
    with pytest.raises(Clash) as refusal:
        create(swarm, word)
    assert str(refusal.value) == (
        f"rpc error: code = AlreadyExists desc = {word} sec1 already exists"
    )
    create(swarm, "config" if word == "secret" else "secret")


@both
@pytest.mark.parametrize("name", ["a", "A.b_c-9", "st_app_sec", "x" * 64, "0"])
def test_names_that_are_names(swarm, word, name):
    create(swarm, word, name)


@both
@pytest.mark.parametrize("name", ["-a", "a-", ".a", "a b", "x" * 65, "ä", "a/b"])
def test_names_that_are_not(swarm, word, name):
    with pytest.raises(Invalid) as refusal:
        create(swarm, word, name)
    assert str(refusal.value) == (
        f"{RPC}invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, "
        "and the start and end character must be [a-zA-Z0-9]"
    )


@both
def test_a_name_there_must_be(swarm, word):
    with pytest.raises(Invalid, match=f"^{RPC}name must be provided$"):
        create(swarm, word, "")


@both
def test_the_data_has_a_size(swarm, word):
    limit = LIMITS[word]
    for data in (b"", b"x" * limit):
        with pytest.raises(Invalid) as refusal:
            create(swarm, word, data=data)
        assert str(refusal.value) == (
            f"{RPC}{word} data must be larger than 0 and less than {limit} bytes"
        )
    create(swarm, word, data=b"x" * (limit - 1))


@both
def test_templates_of_data_are_refused_by_name(swarm, word):
    with pytest.raises(Unsupported, match="golang"):
        create(swarm, word, templating=DriverConfig(name="golang"))


@both
def test_only_labels_change(swarm, word):
    id = create(swarm, word)
    version = find(swarm, word, id).version
    swarm.now += 1
    update(swarm, word, "sec1", version, spec(data=b"", labels={"a": "b"}))
    found = find(swarm, word, id)
    assert (found.spec, found.updated_at) == (spec(labels={"a": "b"}), swarm.now)
    update(swarm, word, id, found.version, spec())
    found = find(swarm, word, id)
    assert found.spec == spec()
    for wrong in (spec("other"), spec(data=b"other")):
        with pytest.raises(Invalid) as refusal:
            update(swarm, word, id, found.version, wrong)
        assert str(refusal.value) == f"{RPC}only updates to Labels are allowed"
    with pytest.raises(OutOfSequence):
        update(swarm, word, id, version, spec())
    with pytest.raises(Missing):
        update(swarm, word, "nosuch", version, spec())


@both
def test_it_is_removed_when_no_service_asks_for_it(swarm, word):
    reference = getattr(swarm, word)("sec1")
    container = ContainerSpec(image="a", **{f"{word}s": (reference,)})
    swarm.create("withsec", container_spec=container)
    with pytest.raises(Invalid) as refusal:
        remove(swarm, word, "sec1")
    assert str(refusal.value) == f"{RPC}{word} 'sec1' is in use by the following service: withsec"
    swarm.create("also", container_spec=container)
    with pytest.raises(Invalid, match=r"by the following services: also, withsec$"):
        remove(swarm, word, "sec1")
    swarm.obey()
    for name in ("withsec", "also"):
        swarm.change(control.remove_service, name)
    remove(swarm, word, "sec1")
    assert not getattr(swarm.state, f"{word}s")
    with pytest.raises(Missing):
        remove(swarm, word, "sec1")
