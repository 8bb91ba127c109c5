import asyncio

import pytest

from skep.agent import listening
from skep.agent.listening import Listeners
from skep.kernel.sockets import UNSEEN, Seen
from skep.model.cluster import TakenPort
from skep.model.errors import Broken


class Rig:
    def __init__(self):
        self.sockets = []
        self.looked_up = []
        self.told = []
        self.listeners = Listeners(self.taken, self.holders, self.tell)

    async def taken(self):
        return self.sockets

    async def holders(self, inodes):
        self.looked_up.append(set(inodes))
        return {inode: f"nginx (pid {inode})" for inode in inodes if inode < 1000}

    async def tell(self, taken):
        self.told.append(taken)

    def listens(self, port, inode, *, protocol="tcp", address="0.0.0.0"):
        self.sockets.append((protocol, Seen((address, port), ("0.0.0.0", 0), 10, inode)))


@pytest.fixture
def rig():
    return Rig()


async def test_what_is_listened_on_is_told_once(rig):
    rig.listens(80, 12)
    await rig.listeners.look()
    await rig.listeners.look()
    assert rig.told == [(TakenPort("tcp", 80, "", "nginx (pid 12)"),)]
    rig.sockets.clear()
    await rig.listeners.look()
    assert rig.told[1:] == [()]


async def test_that_nobody_listens_is_told_too(rig):
    await rig.listeners.look()
    assert rig.told == [()]


async def test_each_holder_is_looked_up_once(rig):
    rig.listens(80, 12)
    await rig.listeners.look()
    rig.listens(81, 13)
    rig.listens(4789, 4000, protocol="udp")
    await rig.listeners.look()
    await rig.listeners.look()
    assert rig.looked_up == [{12}, {13, 4000}]
    assert TakenPort("udp", 4789, "", UNSEEN) in rig.told[-1]


async def test_any_address_of_both_families_is_one(rig):
    rig.listens(80, 12)
    rig.listens(80, 12, address="::")
    rig.listens(80, 12, address="127.0.0.1")
    await rig.listeners.look()
    assert [taken.address for taken in rig.told[0]] == ["", "127.0.0.1"]


async def test_what_cannot_be_seen_just_now_is_looked_at_again(rig, monkeypatch):
    monkeypatch.setattr(listening, "EVERY", 0.0)
    answers = [Broken("too many open files"), Broken("too many open files"), []]

    async def taken():
        answer = answers.pop(0) if answers else []
        if isinstance(answer, Broken):
            raise answer
        return answer

    rig.listeners._sockets = taken
    running = asyncio.create_task(rig.listeners.run())
    async with asyncio.timeout(60):
        while not rig.told:
            await asyncio.sleep(0)
    assert rig.told == [()]
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
