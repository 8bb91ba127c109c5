import itertools

import pytest
from enginehost import EngineHost

from skep.engine.client import Engine
from skep.lab import images


@pytest.fixture(scope="session")
def busybox(tmp_path_factory):
    return images.build(["busybox"], tmp_path_factory.mktemp("images"))["busybox"]


@pytest.fixture(scope="session")
def served():
    """A host with a running engine, shared by all tests that only use it."""
    with EngineHost() as host:
        said, _ = host.serve()
        assert said.startswith("ready "), said
        yield host


@pytest.fixture
async def engine(served, busybox):
    engine = Engine(served.socket)
    if await engine.image("busybox") is None:
        await engine.load(busybox)
    yield engine
    for container in await engine.containers():
        await engine.remove(container["Id"], force=True, volumes=True)
    await engine.close()


serial = itertools.count()


@pytest.fixture
def netns(served):
    """Makes network namespaces; answers NetworkMode."""
    return lambda: f"ns:{served.namespace(f'n{next(serial)}')}"


@pytest.fixture
def box(engine, netns):
    """Makes busybox containers, not started; answers the id."""

    async def make(*command, name=None, host=None, **config):
        body = {
            "Image": "busybox",
            "Cmd": list(command or ("sleep", "1000")),
            "HostConfig": {"NetworkMode": netns(), **(host or {})},
            **config,
        }
        return await engine.create(name or f"box{next(serial)}", body)

    return make
