"""Records and the engine's containers, after either was lost sight of."""

import pytest
from container_rig import BODY, Rig

from skep.agent import comparing
from skep.agent.comparing import Comparison
from skep.model.errors import EngineLost
from skep.model.netstate import NETNS_DIR

TASK_LABELS = {"com.docker.swarm.task.id": "t1"}


class Compared(Rig):
    def __init__(self, folder):
        super().__init__(folder)
        self.ended = []
        self.comparison = Comparison(self.containers, self.network, self.engine, self._end)

    async def _end(self, container_id):
        self.ended.append(container_id)

    def lose(self, container_id):
        """Its record cannot be read at the next start."""
        self.network.records.drop(container_id)
        self.network.changed()

    @property
    def known(self):
        return [record.id for record in self.network.records]


@pytest.fixture
def rig(tmp_path):
    return Compared(tmp_path)


async def test_what_the_engine_has_no_more_is_forgotten(rig):
    made, _ = await rig.containers.create("c", BODY)
    del rig.engine.states[made]
    assert await rig.comparison.compare() == []
    assert rig.known == []


async def test_what_does_not_run_is_said(rig):
    made, _ = await rig.containers.create("c", BODY)
    await rig.comparison.compare()
    assert rig.ended == [made]


async def test_what_runs_without_its_networks_is_put_back(rig):
    made, _ = await rig.containers.create("c", BODY)
    rig.engine.states[made] = {"Running": True}
    assert await rig.comparison.compare() == [made]
    (endpoint,) = [e for e in rig.network.records.get(made).endpoints if e.network_name == "net"]
    assert endpoint.address
    assert rig.ended == []


async def test_what_was_interrupted_is_ended(rig):
    rig.engine.refuse["answer"] = EngineLost("gone")
    with pytest.raises(EngineLost):
        await rig.containers.create("c", BODY)
    await rig.comparison.compare()
    assert rig.known == []
    assert rig.engine.states == {}


async def test_a_lost_record_is_written_anew(rig):
    made, _ = await rig.containers.create("c", BODY)
    sandbox = rig.network.records.get(made).sandbox_id
    rig.lose(made)
    await rig.comparison.compare()
    assert rig.known == [made]
    assert rig.network.records.get(made).name == "c"
    assert rig.network.records.get(made).sandbox_id == sandbox


async def test_a_tasks_container_without_a_record_goes(rig):
    made, _ = await rig.containers.create("c", {**BODY, "Labels": TASK_LABELS})
    rig.lose(made)
    await rig.comparison.compare()
    assert rig.known == []
    assert rig.engine.states == {}


async def test_an_engine_that_goes_away_at_the_start_is_waited_for(rig, monkeypatch):
    monkeypatch.setattr(comparing, "AGAIN", 0.0)
    made, _ = await rig.containers.create("c", BODY)
    rig.engine.states[made] = {"Running": True}
    listed, away = rig.engine.containers, [EngineLost("gone"), EngineLost("still gone")]

    async def containers():
        if away:
            raise away.pop()
        return await listed()

    rig.engine.containers = containers
    assert await rig.comparison.begin() == [made]
    away.append(EngineLost("gone for good"))
    monkeypatch.setattr(comparing, "BACK_WITHIN", 0.0)
    with pytest.raises(EngineLost, match="gone for good"):
        await rig.comparison.begin()


async def test_what_could_not_be_looked_at_is_looked_at_again(rig):
    made, _ = await rig.containers.create("c", {**BODY, "Labels": TASK_LABELS})
    rig.lose(made)
    rig.engine.refuse["remove"] = EngineLost("gone")
    await rig.comparison.compare()
    assert made in rig.engine.states
    del rig.engine.refuse["remove"]
    await rig.comparison.compare()
    assert rig.engine.states == {}


async def test_somebody_elses_container_is_left_alone(rig):
    body = {"Image": "busybox", "HostConfig": {"NetworkMode": f"ns:{NETNS_DIR}/theirs"}}
    made = await rig.engine.create("theirs", body)
    await rig.comparison.compare()
    assert rig.known == []
    assert made in rig.engine.states
