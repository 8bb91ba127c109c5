"""A daemon that starts anew: what it says that its predecessor had no time to say."""

from unittest.mock import AsyncMock, Mock

from skep.agent.agent import Agent
from skep.agent.finals import Finals
from skep.engine.client import Engine
from skep.kernel.kernel import Kernel
from skep.model.cluster import NodeDescription, TaskState, TaskStatus
from skep.model.errors import Unavailable
from skep.model.messages import Hello, Status

HELLO = Hello(description=NodeDescription(hostname="host2"), address="", vtep="")


def agent_of(tmp_path):
    kernel = Mock(spec=Kernel)
    kernel.addresses.return_value = kernel.routed.return_value = ()
    return Agent(kernel, Mock(spec=Engine), tmp_path / "state", tmp_path / "run", tell=Mock())


async def test_last_words_are_said_again(tmp_path):
    """The manager may have been away when they were said: it would wait for the end of a task that
    has ended, and keep its addresses, for ever."""
    said = TaskStatus(state=TaskState.SHUTDOWN, timestamp=1.0, message="shutdown")
    (tmp_path / "state").mkdir()
    Finals(tmp_path / "state" / "finals").note({"t1": said})
    agent = agent_of(tmp_path)
    await agent.load()
    assert Status(tasks={"t1": said}) in agent.uplink.greeting(HELLO)


async def test_who_has_nothing_to_say_says_nothing_of_tasks(tmp_path):
    agent = agent_of(tmp_path)
    await agent.load()
    assert not [each for each in agent.uplink.greeting(HELLO) if isinstance(each, Status)]


async def test_containers_do_not_wait_for_names(tmp_path, monkeypatch):
    """A skep-dns that is killed while it starts does not end the start of the daemon."""

    async def ensure(*_):
        raise Unavailable("skep-dns ended with -9")

    monkeypatch.setattr("skep.agent.agent.ensure", ensure)
    agent = agent_of(tmp_path)
    agent._engine.containers.return_value = []
    converge = AsyncMock(return_value=Mock(ops=(), failures=()))
    monkeypatch.setattr(agent.network.converger, "converge", converge)
    await agent.load()
    await agent.adopt()
    converge.assert_awaited_once()
