"""`skep flows`: what is asked for, and how it is shown."""

import json

import msgspec
import pytest

from skep.cli import flows
from skep.cli.show.overview import aligned
from skep.model.flows import Flow, Flows, Party

WEB = Party(address="10.0.1.3", port=80, kind="container", name="web.1.abc", service="web",
            network="back")  # fmt: skip
BOX = Party(address="10.0.1.6", port=4000, kind="container", name="box", network="back")
FAR = Party(address="2001:db8::7", port=4001, name="2001:db8::7")
SOME = (
    Flow(host="h1", protocol="tcp", client=BOX, server=WEB, asked="web 10.0.1.2:80",
         verdict="answered", state="open", sent_bytes=1500, received_bytes=20),
    Flow(host="h2", protocol="tcp", client=FAR, server=WEB, verdict="unanswered", state="opening"),
    Flow(host="h1", protocol="icmp", client=BOX, server=WEB, verdict="answered"),
)  # fmt: skip


def lines(section):
    return list(aligned(section))


def test_services_are_added_up():
    title, heading, *rows = lines(flows.summed((*SOME, SOME[0])))
    assert title == ("Flows (4)", False)
    assert heading[0].split()[:3] == ["FROM", "TO", "PORT"]
    assert [(row.split(), alarming) for row, alarming in rows] == [
        (["box", "web", "icmp", "1", "0", "-", "?", "?", "h1"], False),
        (["box", "web", "80/tcp", "2", "2", "-", "3kB", "40B", "h1"], False),
        (["outside", "web", "80/tcp", "1", "0", "1", "?", "?", "h2"], True),
    ]


def test_each_by_itself():
    _, _, *rows = lines(flows.each(SOME))
    words = [" ".join(row.split()) for row, _ in rows]
    assert words[0] == "[2001:db8::7]:4001 web.1 10.0.1.3:80 tcp - unanswered, opening ? ? h2"
    assert words[1].startswith(
        "box 10.0.1.6:4000 web.1 10.0.1.3:80 tcp web 10.0.1.2:80 answered, open 1.5kB 20B"
    )
    assert [alarming for _, alarming in rows] == [True, False, False]


@pytest.fixture
def asked(monkeypatch):
    queries = []

    class Api:
        def get(self, path, **query):
            queries.append((path, query))
            flows = () if query["party"] == "nobody" else SOME
            return msgspec.to_builtins(Flows(flows=flows, silent={"h3": "it has no session"}))

    monkeypatch.setattr(flows, "Api", Api)
    return queries


def test_what_is_asked_for(asked, capsys):
    assert flows.run(["web", "--port", "80", "--outside", "--host", "h1", "--unanswered"]) == 0
    assert asked == [("/skep/flows", {
        "party": "web", "host": "h1", "network": "", "port": "80", "outside": True,
        "unanswered": True,
    })]  # fmt: skip
    output = capsys.readouterr().out
    assert "outside  web" in output
    assert "h3 could not be asked: it has no session" in output


def test_who_has_not_spoken(asked, capsys):
    assert flows.run(["nobody"]) == 0
    said, silent = capsys.readouterr().out.splitlines()
    assert said == (
        'No conversation is remembered of "nobody": it has been quiet, or is called otherwise.'
    )
    assert silent.startswith("h3")


def test_for_programs(asked, capsys):
    assert flows.run(["--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["flows"]) == 3
