"""What a sandbox is told: Docker's behaviours, row by row, with our corrections."""

import pytest

from skep.model.naming import TTL, NameTable, NetworkNames, SandboxNames
from skep.names import wire
from skep.names.answer import Forward, answer
from skep.names.wire import Answer, Query

FRONT = NetworkNames(
    id="F",
    name="front",
    addresses={
        "web": ("10.0.1.2",),
        "www": ("10.0.1.2",),
        "tasks.web": ("10.0.1.4", "10.0.1.5", "10.0.1.6"),
        "web.1.abc": ("10.0.1.4",),
        "shared": ("10.0.1.9",),
        "asleep": (),
        "odd.back": ("10.0.1.77",),
    },
    pointers={"10.0.1.2": "web.front", "10.0.1.4": "web.1.abc.front"},
)
BACK = NetworkNames(
    id="B",
    name="back",
    addresses={
        "db": ("10.0.2.2",),
        "shared": ("10.0.2.9",),
        "asleep": ("10.0.2.8",),
        "odd": ("10.0.2.77",),
        "a.b": ("10.0.2.3",),
        "two.my": ("10.0.2.4",),
    },
)
DOTTED = NetworkNames(id="D", name="my.back", addresses={"db": ("10.0.3.2",), "two": ("10.0.3.4",)})
HIDDEN = NetworkNames(
    id="H", name="hidden", addresses={"secret": ("10.0.9.9",)}, pointers={"10.0.9.9": "s.hidden"}
)
TABLE = NameTable(networks={n.id: n for n in (FRONT, BACK, DOTTED, HIDDEN)})
BOX = SandboxNames(namespace="box", networks=("F", "B", "D"))
SEALED = SandboxNames(namespace="sealed", networks=("F",), forward=False)

NXDOMAIN = Answer(wire.NXDOMAIN)
MX, SRV, TXT = 15, 33, 16


def ask(name, kind=wire.A, box=BOX, klass=wire.IN):
    query = Query(id=1, flags=0, name=name, question=b"", type=kind, klass=klass)
    return answer(TABLE, box, query, lambda items: items.reverse())


def addresses(*found):
    return Answer(records=tuple(map(wire.address_record, found)))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("web", ["10.0.1.2"]),
        ("www", ["10.0.1.2"]),
        ("web.1.abc", ["10.0.1.4"]),
        ("db", ["10.0.2.2"]),
        ("web.front", ["10.0.1.2"]),
        ("web.1.abc.front", ["10.0.1.4"]),
        ("shared.back", ["10.0.2.9"]),
        ("a.b.back", ["10.0.2.3"]),
        ("db.my.back", ["10.0.3.2"]),
    ],
)
def test_names_and_scoped_names(name, found):
    assert ask(name) == addresses(*found)


def test_several_addresses_come_shuffled():
    assert ask("tasks.web") == addresses("10.0.1.6", "10.0.1.5", "10.0.1.4")


def test_the_first_network_wins():
    assert ask("shared") == addresses("10.0.1.9")


def test_a_name_as_it_is_wins_over_its_parts():
    assert ask("odd.back") == addresses("10.0.1.77")


def test_the_split_at_the_last_dot_wins():
    box = SandboxNames(namespace="box", networks=("D", "B"))
    assert ask("two.my.back", box=box) == addresses("10.0.2.4")


def test_a_network_where_it_is_ready_wins_over_one_where_it_is_not():
    assert ask("asleep") == addresses("10.0.2.8")


def test_a_known_name_without_ready_containers_is_empty_and_stays_here():
    assert ask("asleep", box=SEALED) == Answer()
    assert ask("asleep.front") == Answer()


@pytest.mark.parametrize("kind", [wire.AAAA, MX, SRV, TXT])
def test_other_types_of_known_names_are_empty(kind):
    assert ask("web", kind) == Answer()
    assert ask("web.front", kind) == Answer()


def test_any_type_gives_addresses():
    assert ask("web", wire.ANY) == addresses("10.0.1.2")


def test_pointers_of_containers_and_vips():
    assert ask("4.1.0.10.in-addr.arpa", wire.PTR) == Answer(
        records=(wire.pointer_record("web.1.abc.front"),)
    )
    assert ask("2.1.0.10.in-addr.arpa", wire.PTR) == Answer(
        records=(wire.pointer_record("web.front"),)
    )
    assert ask("2.1.0.10.in-addr.arpa", wire.A) == Answer()


@pytest.mark.parametrize(
    "name", ["7.1.0.10.in-addr.arpa", "9.9.0.10.in-addr.arpa", "b.a.9.8.ip6.arpa", "in-addr.arpa"]
)
def test_unknown_pointers_are_forwarded(name):
    assert ask(name, wire.PTR) == Forward()
    assert ask(name, wire.PTR, box=SEALED) == NXDOMAIN


def test_other_networks_do_not_exist():
    assert ask("secret") == Forward()
    assert ask("secret.hidden") == Forward()
    assert ask("db", box=SEALED) == NXDOMAIN


@pytest.mark.parametrize("name", ["example.org", "nowhere", "", "front", "tasks", "webfront"])
def test_unknown_names_are_forwarded_unless_there_is_no_way_out(name):
    assert ask(name) == Forward()
    assert ask(name, box=SEALED) == NXDOMAIN


@pytest.mark.parametrize("name", ["nowhere.front", "x.y.my.back", "shared.my.back"])
def test_a_network_may_be_called_like_a_public_suffix(name):
    assert ask(name) == Forward()


def test_what_is_no_internet_question_is_refused():
    assert ask("web", klass=3) == Answer(wire.REFUSED)
    assert ask("front", wire.AXFR) == Answer(wire.REFUSED)


def test_answers_hold_five_seconds():
    assert TTL == 5
    found = ask("web")
    assert isinstance(found, Answer)
    assert found.records[0].ttl == 5


def test_a_network_that_left_the_table_is_passed_over():
    box = SandboxNames(namespace="box", networks=("gone", "B"))
    assert ask("db", box=box) == addresses("10.0.2.2")
