import json
import tomllib

from skep.engine.settings import (
    Limits,
    containers_conf,
    policy_json,
    registries_conf,
    storage_conf,
)


def ulimits(limits):
    return tomllib.loads(containers_conf(limits, "/hooks"))["containers"]["default_ulimits"]


def test_a_container_never_asks_for_more_than_we_may_have():
    assert ulimits(Limits(files=20000, processes=96365)) == [
        "nofile=20000:20000", "nproc=96365:96365"]  # fmt: skip
    plenty = ["nofile=1048576:1048576", "nproc=4194304:4194304"]
    assert ulimits(Limits(files=1 << 30, processes=1 << 30)) == plenty
    assert ulimits(Limits(files=None, processes=None)) == plenty


def test_nothing_is_shared_with_other_podmans_of_the_machine():
    engine = tomllib.loads(containers_conf(Limits(files=1, processes=1), "/hooks"))["engine"]
    assert engine["lock_type"] == "file"
    assert engine["cgroup_manager"] == "cgroupfs"


def test_storage_takes_any_path():
    storage = tomllib.loads(storage_conf('/a "b"\\c', "/run/x"))["storage"]
    assert storage == {"driver": "overlay", "graphroot": '/a "b"\\c', "runroot": "/run/x"}


def test_registries():
    settings = tomllib.loads(registries_conf())
    assert settings["registry"] == [
        {"location": "localhost", "insecure": True},
        {"location": "127.0.0.1", "insecure": True},
    ]
    assert settings["unqualified-search-registries"] == ["docker.io"]


def test_images_need_no_signature():
    assert json.loads(policy_json()) == {"default": [{"type": "insecureAcceptAnything"}]}
