"""What a sandbox is told: Docker's behaviours, row by row, with our corrections."""

import msgspec
import pytest

from skep.model.naming import TTL, NameTable, NetworkNames, SandboxNames, ServiceNames, TaskName
from skep.names import wire
from skep.names.answer import Forward, answer
from skep.names.lookup import reversed_address
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


# --- what stacks mean by their names

SHARED = NetworkNames(
    id="S",
    name="shared",
    services={
        "B": ServiceNames(
            virtual=("10.0.4.2",),
            tasks=(TaskName("blue_db.1.x", "10.0.4.10"), TaskName("blue_db.2.y", "10.0.4.11")),
            waiting=("10.0.4.12",),
            ports={"_sql._tcp": 5432},
        ),
        "G": ServiceNames(virtual=("10.0.4.3",), tasks=(TaskName("green_db.1.z", "10.0.4.20"),)),
        "R": ServiceNames(),
    },
    scopes={
        "": {"blue_db": ("B",), "green_db": ("G",), "db": ("G",), "red_robin": ("R",)},
        "blue": {"blue_db": ("B",), "db": ("B",), "store": ("blue_db.1.x", "blue_db.2.y")},
        "green": {"green_db": ("G",), "db": ("G",)},
        "red": {"red_robin": ("R",), "db": ("R",), "cache": ("R",)},
        "my.stack": {"db": ("G",)},
        "shared": {"db.blue": ("G",)},
    },
    addresses={
        "blue_db.1.x": ("10.0.4.10",),
        "blue_db.2.y": ("10.0.4.11",),
        "cache": ("10.0.4.9",),
    },
)
OWN = NetworkNames(
    id="O",
    name="blue_default",
    services={"B": ServiceNames(virtual=("10.0.5.2",)), "W": ServiceNames(virtual=("10.0.5.3",))},
    scopes={"": {"db": ("B",), "web": ("W",)}, "blue": {"db": ("B",), "web": ("W",)}},
)
# A network that is called like a stack.
NAMESAKE = NetworkNames(id="X", name="green", addresses={"db": ("10.0.6.2",)})
STACKS = NameTable(networks={n.id: n for n in (SHARED, OWN, NAMESAKE)})


def member(stack, *networks, **more):
    return SandboxNames(namespace="box", networks=networks, stack=stack, **more)


def say(box, name, kind=wire.A):
    query = Query(id=1, flags=0, name=name, question=b"", type=kind, klass=wire.IN)
    return answer(STACKS, box, query, lambda items: items.reverse())


@pytest.mark.parametrize(
    ("stack", "found"),
    [("blue", "10.0.4.2"), ("green", "10.0.4.3"), ("", "10.0.4.3"), ("other", "10.0.4.3")],
)
def test_within_a_stack_its_own_names_win(stack, found):
    for name in ("db", "db.shared"):
        assert say(member(stack, "S"), name) == addresses(found)


def test_they_win_over_another_stacks_on_a_network_that_comes_first():
    box = member("green", "O", "S")
    assert say(box, "db") == addresses("10.0.4.3")
    assert say(member("", "O", "S"), "db") == addresses("10.0.5.2")


def test_they_win_even_while_nothing_of_theirs_is_ready():
    assert say(member("red", "S", "O"), "db") == Answer()
    assert say(member("red", "S"), "cache") == Answer()
    assert say(member("", "S"), "cache") == addresses("10.0.4.9")


@pytest.mark.parametrize("stack", ["blue", "green", ""])
def test_a_stack_may_be_named(stack):
    box = member(stack, "S")
    for name in ("db.blue", "db.blue.shared", "blue_db", "blue_db.blue"):
        assert say(box, name) == addresses("10.0.4.2")
    assert say(box, "tasks.db.blue") == addresses("10.0.4.11", "10.0.4.10")
    assert say(box, "db.my.stack.shared") == addresses("10.0.4.3")
    assert say(box, "web.blue") == Forward()


def test_a_network_wins_over_a_stack_of_the_same_name():
    assert say(member("", "S", "X"), "db.green") == addresses("10.0.6.2")
    assert say(member("", "S"), "db.green") == addresses("10.0.4.3")


def test_names_of_a_stacks_containers_win_within_it():
    assert say(member("blue", "S"), "store") == addresses("10.0.4.11", "10.0.4.10")
    assert say(member("green", "S"), "store") == Forward()
    assert say(member("green", "S"), "store.blue") == addresses("10.0.4.11", "10.0.4.10")


def test_a_container_that_is_called_like_a_services_id_is_not_it():
    network = msgspec.structs.replace(SHARED, addresses={"B": ("10.0.4.66",)})
    table = NameTable(networks={"S": network})
    query = Query(id=1, flags=0, name="blue_db", question=b"", type=wire.A, klass=wire.IN)
    assert answer(table, member("", "S"), query, list.sort) == addresses("10.0.4.2")


def test_tasks_and_all_tasks_of_a_service():
    ready = addresses("10.0.4.11", "10.0.4.10")
    everyone = addresses("10.0.4.12", "10.0.4.11", "10.0.4.10")
    for name in ("blue_db", "db.blue", "blue_db.shared"):
        assert say(member("", "S"), f"tasks.{name}") == ready
        assert say(member("", "S"), f"tasks-all.{name}") == everyone
    assert say(member("blue", "S"), "tasks.db") == ready
    assert say(member("blue", "S"), "tasks-all.db") == everyone
    assert say(member("red", "S"), "tasks-all.db") == Answer()


# --- where ports are


def srv(*places):
    """(target, port, address) in order, as an answer."""
    return Answer(
        records=tuple(wire.service_record(target, port) for target, port, _ in places),
        additional=tuple(wire.address_record(address, target) for target, _, address in places),
    )


BLUE = ("blue_db.2.y.shared", "10.0.4.11"), ("blue_db.1.x.shared", "10.0.4.10")


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("_80._tcp.blue_db", 80),
        ("_53._udp.blue_db.shared", 53),
        ("_sql._tcp.blue_db", 5432),
        ("_sql._tcp.db.blue", 5432),
        ("_65535._sctp.db.blue.shared", 65535),
    ],
)
def test_a_services_port_is_where_its_ready_tasks_are(name, port):
    expected = srv(*((target, port, address) for target, address in BLUE))
    assert say(member("", "S"), name, wire.SRV) == expected
    assert say(member("", "S"), name, wire.ANY) == expected
    assert say(member("", "S"), name, wire.A) == Answer()


@pytest.mark.parametrize(
    "name", ["_sql._udp.blue_db", "_x._tcp.blue_db", "_0._tcp.blue_db", "_65536._tcp.blue_db"]
)
def test_a_port_that_a_service_does_not_have_stays_here_and_does_not_exist(name):
    assert say(member("", "S"), name, wire.SRV) == NXDOMAIN


def test_a_port_of_a_service_without_ready_tasks_is_nowhere():
    assert say(member("", "S"), "_80._tcp.red_robin", wire.SRV) == Answer()


@pytest.mark.parametrize(
    "name",
    [
        "_80._web.blue_db",
        "_ldap._tcp.example.org",
        "_80._tcp.cache",
        "_80._tcp",
        "_80.blue_db",
        "_.blue_db",
        "_",
    ],
)
def test_other_service_questions_are_forwarded(name):
    assert say(member("", "S"), name, wire.SRV) == Forward()


# --- ndots, IPv6


@pytest.mark.parametrize("kind", [wire.A, wire.AAAA])
def test_a_single_label_stays_here_where_the_user_set_ndots(kind):
    box = member("", "S", ndots=2)
    assert say(box, "nowhere", kind) == Answer()
    assert say(box, "nowhere.example", kind) == Forward()
    assert say(box, "nowhere", TXT) == Forward()
    assert say(member("", "S", ndots=2, forward=False), "nowhere", kind) == Answer()
    assert say(box, "cache", wire.A) == addresses("10.0.4.9")


SIX = NetworkNames(
    id="6",
    name="six",
    services={"S": ServiceNames(virtual=("fd00::2",), tasks=(TaskName("s.1.x", "fd00::9"),))},
    scopes={"": {"s": ("S",)}},
    addresses={"both": ("10.0.7.2", "fd00::7", "10.0.7.3")},
    pointers={"fd00::2": "s.six"},
)


def six(name, kind):
    query = Query(id=1, flags=0, name=name, question=b"", type=kind, klass=wire.IN)
    table = NameTable(networks={"6": SIX})
    return answer(table, member("", "6"), query, lambda items: items.reverse())


def test_both_families_are_answered_each_by_its_type():
    assert six("both", wire.A) == addresses("10.0.7.3", "10.0.7.2")
    assert six("both", wire.AAAA) == addresses("fd00::7")
    assert six("both", wire.ANY) == addresses("10.0.7.3", "fd00::7", "10.0.7.2")
    assert six("s", wire.A) == Answer()
    assert six("tasks.s", wire.AAAA) == addresses("fd00::9")
    assert six("_1._tcp.s", wire.SRV) == srv(("s.1.x.six", 1, "fd00::9"))


def test_pointers_of_ipv6_addresses():
    name = "2." + "0." * 27 + "0.0.d.f.ip6.arpa"
    assert six(name, wire.PTR) == Answer(records=(wire.pointer_record("s.six"),))
    for other in (name[2:], "x" + name[1:], "3" + name[1:], "ip6.arpa"):
        assert six(other, wire.PTR) == Forward()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("4.3.2.1.in-addr.arpa", "1.2.3.4"),
        ("1." + "0." * 30 + "0.ip6.arpa", "::1"),
        ("2.ip6.arpa", ""),
        ("1." + "0." * 31 + "0.ip6.arpa", ""),
        ("g." + "0." * 30 + "0.ip6.arpa", ""),
        ("-1." + "0." * 30 + "0.ip6.arpa", ""),
        ("web", ""),
    ],
)
def test_reverse_names(name, address):
    assert reversed_address(name) == address
