"""A manager that looks into its cluster: hosts are asked side by side, and taken at their word."""

import asyncio
import zlib

import msgspec
import pytest

from skep.agent.inspection import pack
from skep.manager import inquiries
from skep.manager.inquiries import Inquiries, Remote, unpack
from skep.manager.inspection import Looker
from skep.model.errors import Broken, Missing, Unavailable
from skep.model.host import HostView
from skep.model.inspection import (
    Echo,
    Inspect,
    Inspection,
    Listen,
    NameAnswer,
    Probe,
    RefusedOp,
    Repair,
    Repaired,
    Sightings,
)
from skep.model.messages import ReadState, StateAnswer, StopState
from skep.model.netstate import HOST, Namespace


class Session:
    def __init__(self):
        self.sent = []

    async def send(self, message):
        self.sent.append(message)


async def asked(inquiries, session, talk=None):
    """An inquiry that has been sent."""
    task = asyncio.create_task(inquiries.ask("n1", Inspect(), talk or Remote()))
    while not session.sent:
        await asyncio.sleep(0)
    assert isinstance(session.sent[-1], ReadState)
    return task, session.sent[-1].serial


class TestInquiries:
    @pytest.fixture
    def session(self):
        return Session()

    @pytest.fixture
    def inquiries(self, session):
        return Inquiries({"n1": session}.get)

    async def test_an_answer_comes_in_pieces(self, inquiries, session):
        talk = Remote()
        task, serial = await asked(inquiries, session, talk)
        await inquiries.take(session, StateAnswer(serial=serial))
        assert talk.listening.is_set()
        await inquiries.take(session, StateAnswer(serial=serial, data=b"one "))
        await inquiries.take(session, StateAnswer(serial=serial, data=b"two", end=True))
        assert await task == b"one two"

    async def test_a_host_without_a_session_is_not_waited_for(self, inquiries):
        with pytest.raises(Unavailable, match="no session"):
            await inquiries.ask("n2", Inspect(), Remote())

    async def test_a_refusal_is_the_hosts_own(self, inquiries, session):
        task, serial = await asked(inquiries, session)
        await inquiries.take(session, StateAnswer(serial=serial, end=True, refusal="cannot read"))
        with pytest.raises(Unavailable, match="cannot read"):
            await task

    async def test_a_session_that_ends_ends_what_was_asked(self, inquiries, session):
        task, _ = await asked(inquiries, session)
        inquiries.lost(session)
        with pytest.raises(Unavailable, match="session ended"):
            await task

    async def test_others_cannot_answer_for_a_host(self, inquiries, session):
        task, serial = await asked(inquiries, session)
        await inquiries.take(Session(), StateAnswer(serial=serial, data=b"lies", end=True))
        assert not task.done()
        await inquiries.take(session, StateAnswer(serial=serial, data=b"truth", end=True))
        assert await task == b"truth"

    async def test_what_is_heard_meanwhile_comes_by_itself(self, inquiries, session):
        heard = []

        class Ears(Remote):
            async def heard(self, seen):
                heard.append(seen)

        task, serial = await asked(inquiries, session, Ears())
        seen = Sightings(watched=("x",))
        for _ in range(2):
            data = pack(seen)
            await inquiries.take(session, StateAnswer(serial=serial, data=data[:5]))
            await inquiries.take(session, StateAnswer(serial=serial, data=data[5:], part=True))
        assert heard == [seen, seen]
        await inquiries.take(session, StateAnswer(serial=serial, data=b"end", end=True))
        assert await task == b"end"

    async def test_nonsense_ends_the_inquiry(self, inquiries, session):
        task, serial = await asked(inquiries, session)
        await inquiries.take(session, StateAnswer(serial=serial, data=b"nonsense", part=True))
        with pytest.raises(Broken, match="makes no sense"):
            await task

    async def test_enough_is_said_once(self, inquiries, session):
        talk = Remote()
        task, serial = await asked(inquiries, session, talk)
        await talk.stop()
        await talk.stop()
        assert session.sent[1:] == [StopState(serial=serial)]
        await inquiries.take(session, StateAnswer(serial=serial, data=b"x", end=True))
        assert await task == b"x"

    async def test_who_is_no_longer_waited_for_is_told_so(self, inquiries, session):
        task, serial = await asked(inquiries, session)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.sent[-1] == StopState(serial=serial)

    async def test_too_much_is_refused(self, inquiries, session, monkeypatch):
        monkeypatch.setattr("skep.manager.inquiries.STATE_LIMIT", 10)
        task, serial = await asked(inquiries, session)
        await inquiries.take(session, StateAnswer(serial=serial, data=bytes(11)))
        with pytest.raises(Broken, match="too large"):
            await task

    async def test_what_was_not_asked_is_ignored(self, inquiries, session):
        await inquiries.take(session, StateAnswer(serial=99, data=b"x", end=True))


def view(**fields):
    return HostView(node_id="n1", **fields)


def looked_into():
    return Inspection(
        node_id="n1", hostname="h1", begun_at=1.0, done_at=1.0, view=view(),
        state={HOST: Namespace(name=HOST)},
    )  # fmt: skip


class Agent:
    """This host's agent: answers at once, notes what it was asked."""

    def __init__(self, **answers):
        self.asked = []
        self.answers = {"Inspect": looked_into(), **answers}

    async def ask(self, what, talk):
        self.asked.append(what)
        await talk.begun()
        answer = self.answers[type(what).__name__]
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestAlone:
    """A host that is no manager looks into itself."""

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch):
        monkeypatch.setattr("skep.manager.inspection.SECOND_LOOK", 0.0)

    async def test_its_own_port_is_traced(self):
        looker = Looker(Agent(), view, lambda: None)
        found = await looker.trace("h1", ":80", False)
        assert found.source == "host h1"
        assert found.there[-1].kind == "deliver"

    async def test_names_are_asked_and_unknown_ends_refused(self):
        looker = Looker(Agent(), view, lambda: None)
        with pytest.raises(Missing, match="on this host"):
            await looker.trace("client", "web", False)

    async def test_a_probe_is_sent_while_taps_listen(self):
        agent = Agent(
            Probe=Echo(answered=True, seconds=0.001, words="echo reply"), Listen=Sightings()
        )
        found = await Looker(agent, view, lambda: None).trace("h1", "203.0.113.1/icmp", True)
        assert found.live.answered
        kinds = [type(each) for each in agent.asked]
        assert kinds[0] is Inspect and kinds[-1] is Probe
        assert set(kinds) <= {Inspect, Listen, Probe}

    async def test_a_probe_that_cannot_be_sent_is_said(self):
        agent = Agent(Probe=Unavailable("busy"), Listen=Sightings())
        found = await Looker(agent, view, lambda: None).trace("h1", "203.0.113.1/icmp", True)
        assert not found.live.answered
        assert found.live.words == "the probe was not sent: busy"

    async def test_a_checkup_says_that_it_is_of_one_host(self):
        agent = Agent()
        found = await Looker(agent, view, lambda: None).examine((), False)
        assert not found.whole and found.hosts == ("h1",)
        assert agent.asked == [Inspect(deep=True)] * 2, "its kernel is not as planned"

    async def test_a_repair_comes_before_the_checkup(self):
        failure = RefusedOp(namespace="", what="AddLink", why="no")
        agent = Agent(Repair=Repaired(changed=3, failures=(failure,)))
        found = await Looker(agent, view, lambda: None).examine((), True)
        assert found.repaired == ("this host: 3 operations, refused: AddLink: no",)
        assert agent.asked == [Repair(), *[Inspect(deep=True)] * 2]

    @pytest.mark.parametrize(("again", "told"), [("", False), ("it is dead", True)])
    async def test_what_may_pass_is_looked_at_twice(self, again, told):
        looks = [
            msgspec.structs.replace(looked_into(), dns_error=each) for each in ("it is dead", again)
        ]

        class Changing(Agent):
            async def ask(self, what, talk):
                self.answers["Inspect"] = looks.pop(0)
                return await super().ask(what, talk)

        found = await Looker(Changing(), view, lambda: None).examine((), False)
        assert any(each.check == "names" for each in found.findings) is told
        assert not looks

    async def test_a_host_that_there_is_not_is_refused(self):
        with pytest.raises(Missing, match="no host h9"):
            await Looker(Agent(), view, lambda: None).examine(("h9",), False)


def test_an_answer_is_unpacked_as_it_was_packed():
    told = (NameAnswer(namespace="x", name="web", expected=("1.2.3.4",)),)
    assert unpack(pack(told), tuple[NameAnswer, ...]) == told
    assert unpack(pack(looked_into()), Inspection) == looked_into()


@pytest.mark.parametrize("data", [b"", b"noise", zlib.compress(b"noise")])
def test_noise_is_refused(data):
    with pytest.raises(Broken, match="makes no sense"):
        unpack(data, Inspection)


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(inquiries, "LARGEST", 100)
    with pytest.raises(Broken):
        unpack(zlib.compress(msgspec.msgpack.encode("x" * 10_000)), str)
