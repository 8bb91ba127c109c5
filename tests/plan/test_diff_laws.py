"""What holds for all hosts, before and after: applying a difference leaves none, and nothing that
is not ours is touched. Against a kernel in memory that refuses what a real one would."""

from __future__ import annotations

from collections import defaultdict
from itertools import count

import msgspec
from fake_kernel import FakeKernel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_scene import INGRESS, MONGO, PROD, Scene, web_scene

from skep.model.assignment import NetworkService
from skep.model.netstate import HOST, Address, HostState, Link, Neighbour, PolicyRule, Route
from skep.model.nft import Set, Table
from skep.model.spec import PortConfig
from skep.plan.desired import desired, namespaces_of
from skep.plan.diff import diff

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

members = st.tuples(
    st.sampled_from(["h1", "h1", "h2"]),
    st.sets(st.sampled_from([INGRESS, MONGO, PROD])),
    st.sampled_from(["", "web", "db"]),
    st.booleans(),
    st.booleans(),
)


class Quiet(dict):
    """A host's state that does not fill the screen when a law fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} namespaces>"


@st.composite
def states(draw) -> HostState:
    """What h1 should contain in some cluster."""
    scene = Scene("h1", "h2")
    scene.add_network(PROD, ("10.1.1.0/24", 4098), ("10.1.2.0/24", 4099))
    published = draw(st.sets(st.integers(8080, 8083)))
    ports = tuple(PortConfig(target_port=80, published_port=each) for each in published)
    for mark, name in enumerate(("web", "db"), 256):
        for network in (MONGO, INGRESS):
            service = NetworkService(
                id=name,
                name=name,
                vip=f"10.0.{int(network == MONGO)}.{mark - 50}",
                mark=mark,
                ports=ports if network == INGRESS and name == "web" else (),
            )
            scene.add_service(network, service)
    for index, (host, networks, service, ready, routed) in enumerate(
        draw(st.lists(members, max_size=6))
    ):
        places = {INGRESS: "10.0.0.{}", MONGO: "10.0.1.{}", PROD: "10.1.{}.{}"}
        addresses = {
            each: places[each].format(
                *((1 + index % 2, index + 10) if each == PROD else (index + 10,))
            )
            for each in sorted(networks)
        }
        name = f"{draw(st.integers(0, 2**40 - 1)):010x}{index:02x}"
        scene.add_sandbox(
            host,
            name,
            addresses,
            service,
            ready=ready,
            vips=("10.0.1.206",) if service == "web" and MONGO in networks else (),
            gateway="gwbridge" if routed else "",
        )
    return Quiet(desired(scene.view("h1")))


def converge(kernel: FakeKernel, wanted: HostState, only=None) -> None:
    kernel.apply(diff(wanted, kernel.observe(wanted), only))


def left(kernel: FakeKernel, wanted: HostState, only=None) -> list:
    return diff(wanted, kernel.observe(wanted), only)


@LAW
@given(states())
def test_from_nothing_one_pass_is_enough(wanted):
    kernel = FakeKernel()
    converge(kernel, wanted)
    assert left(kernel, wanted) == []


@LAW
@given(states(), states())
def test_from_any_state_to_any_other_one_pass_is_enough(before, after):
    kernel = FakeKernel()
    converge(kernel, before)
    converge(kernel, after)
    assert left(kernel, after) == []


@LAW
@given(states())
def test_taking_everything_down_leaves_an_empty_host(wanted):
    kernel = FakeKernel()
    converge(kernel, wanted)
    converge(kernel, {})
    assert set(kernel.boxes) == {HOST}
    converge(
        kernel,
        {
            HOST: msgspec.structs.replace(
                wanted[HOST], links={}, addresses=frozenset(), tables=(), sysctls={}
            )
        },
    )
    host = kernel.boxes[HOST]
    assert (host.links, host.addresses, host.tables) == ({}, [], {})


DAMAGE = [
    "link",
    "down",
    "master",
    "mac",
    "mtu",
    "group",
    "address",
    "flush",
    "route",
    "rule",
    "neighbour",
    "fdb",
    "moved",
    "table",
    "elements",
    "chain",
    "sysctl",
    "namespace",
    "kind",
]


class Vandal:
    """Damages a kernel in ways that a hypothesis draw decides."""

    def __init__(self, kernel: FakeKernel, draw, but: str = "") -> None:
        self.kernel = kernel
        self.draw = draw
        self.means = [each for each in DAMAGE if each != but]

    def pick(self, items):
        ordered = sorted(items, key=str)
        return self.draw(st.sampled_from(ordered)) if ordered else None

    def strike(self) -> None:
        name = self.pick(self.kernel.boxes)
        box = self.kernel.boxes[name]
        getattr(self, f"_{self.draw(st.sampled_from(self.means))}")(name, box)

    def _alter(self, box, **changes) -> None:
        link = self.pick([each.name for each in box.links.values() if each.name != "lo"])
        if link is not None:
            box.links[link] = msgspec.structs.replace(box.links[link], **changes)

    def _link(self, name, box) -> None:
        link = self.pick([each for each in box.links if each != "lo"])
        if link is not None:
            self.kernel.drop_link(name, link)

    def _kind(self, name, box) -> None:
        link = self.pick([each for each in box.links if each != "lo"])
        if link is not None:
            self.kernel.drop_link(name, link)
            self.kernel.add_link(name, Link(name=link, kind="dummy"))

    def _down(self, name, box) -> None:
        self._alter(box, up=False)

    def _master(self, name, box) -> None:
        self._alter(box, master="")

    def _mac(self, name, box) -> None:
        self._alter(box, mac="02:00:00:00:00:99")

    def _mtu(self, name, box) -> None:
        self._alter(box, mtu=1280)

    def _group(self, name, box) -> None:
        if name != HOST:
            self._alter(box, group=7)

    def _address(self, name, box) -> None:
        address = self.pick(box.addresses)
        if address is not None and address.link != "lo":
            box.addresses.remove(address)
            box.addresses.append(Address(address.link, "10.99.99.1/32"))

    def _flush(self, name, box) -> None:
        box.addresses = [each for each in box.addresses if each.link == "lo"]
        box.routes = set()

    def _route(self, name, box) -> None:
        route = self.pick(box.routes)
        if route is not None:
            box.routes.remove(route)
            box.routes.add(msgspec.structs.replace(route, via="10.0.1.250"))

    def _rule(self, name, box) -> None:
        if name != HOST:
            box.rules = set(list(box.rules)[1:]) | {PolicyRule(5, 6, 7)}

    def _neighbour(self, name, box) -> None:
        if "vxlan0" in box.links:
            box.neighbours["vxlan0", "10.0.0.77"] = Neighbour(
                "vxlan0", "10.0.0.77", "02:00:00:00:00:01"
            )

    def _fdb(self, name, box) -> None:
        box.fdb = set(sorted(box.fdb, key=str)[1:])

    def _moved(self, name, box) -> None:
        entry = self.pick(box.fdb)
        if entry is not None:
            box.fdb.add(msgspec.structs.replace(entry, vtep="203.0.113.66"))

    def _table(self, name, box) -> None:
        box.tables = {("ip", "skep-old"): Table("skep-old", ())}

    def _elements(self, name, box) -> None:
        for key, table in box.tables.items():
            sets = tuple(msgspec.structs.replace(each, elements=frozenset()) for each in table.sets)
            box.tables[key] = msgspec.structs.replace(table, sets=sets)

    def _chain(self, name, box) -> None:
        for key, table in box.tables.items():
            extra = Set("more", ("mark",), frozenset())
            box.tables[key] = msgspec.structs.replace(
                table, chains=table.chains[1:], sets=(*table.sets, extra)
            )

    def _sysctl(self, name, box) -> None:
        box.sysctls = dict.fromkeys(box.sysctls, "tampered")

    def _namespace(self, name, box) -> None:
        if name != HOST:
            for link in list(box.links):
                if link in box.links:
                    self.kernel.drop_link(name, link)
            del self.kernel.boxes[name]


@LAW
@given(st.data())
def test_damage_is_repaired_in_one_pass(data):
    wanted = data.draw(states())
    kernel = FakeKernel()
    converge(kernel, wanted)
    vandal = Vandal(kernel, data.draw, but="group")
    for _ in range(data.draw(st.integers(1, 5))):
        vandal.strike()
    converge(kernel, wanted)
    assert left(kernel, wanted) == []


@LAW
@given(st.data())
def test_any_damage_is_repaired(data):
    wanted = data.draw(states())
    kernel = FakeKernel()
    converge(kernel, wanted)
    vandal = Vandal(kernel, data.draw)
    for _ in range(data.draw(st.integers(1, 5))):
        vandal.strike()
    converge(kernel, wanted)
    # A link that lost its group hides what is on it until the first pass gave the group back.
    converge(kernel, wanted)
    assert left(kernel, wanted) == []


@LAW
@given(states(), states())
def test_what_is_foreign_stays(before, after):
    kernel = FakeKernel()
    converge(kernel, before)
    eth9 = Link(name="eth9", kind="veth", group=0, mac="00:00:00:00:00:09")
    for box_name, box in kernel.boxes.items():
        kernel.add_link(box_name, eth9)
        box.addresses.append(Address("eth9", "192.0.2.1/24"))
        box.routes.add(Route(destination="198.51.100.0/24", link="eth9"))
        box.tables["inet", "filter"] = Table("filter", (), family="inet")
    kept = set(kernel.boxes) & set(after)
    converge(kernel, after)
    for name in kept:
        box = kernel.boxes[name]
        assert box.links["eth9"].mac == eth9.mac
        assert Address("eth9", "192.0.2.1/24") in box.addresses
        assert Route(destination="198.51.100.0/24", link="eth9") in box.routes
        assert ("inet", "filter") in box.tables


@LAW
@given(states(), states())
def test_indices_that_repeat_between_namespaces_settle_in_a_few_passes(before, after):
    numbers = defaultdict(lambda: count(1))
    kernel = FakeKernel()
    kernel.indices = lambda ns: next(numbers[ns])
    converge(kernel, before)
    for _ in range(3):
        converge(kernel, after)
    assert left(kernel, after) == []


def test_one_sandbox_is_converged_with_the_namespaces_it_plugs_into():
    scene = web_scene()
    kernel = FakeKernel()
    converge(kernel, desired(scene.view("h1")))
    name = scene.add_sandbox("h1", "late", {MONGO: "10.0.1.40"})
    view = scene.view("h1")
    only = namespaces_of(view, name)
    assert only == {name, HOST, "1-mongonetwo"}
    converge(kernel, desired(view, only), only)
    assert left(kernel, desired(view)) == []


def test_one_sandbox_is_taken_down_alone():
    scene = web_scene()
    scene.add_network(PROD, ("10.1.1.0/24", 4098))
    name = scene.add_sandbox("h1", "late", {PROD: "10.1.1.40"})
    kernel = FakeKernel()
    converge(kernel, desired(scene.view("h1")))
    only = namespaces_of(scene.view("h1"), name)
    scene.sandboxes["h1"].pop()
    del scene.networks[PROD]
    converge(kernel, desired(scene.view("h1"), only), only)
    assert name not in kernel.boxes and "1-prodnetwor" not in kernel.boxes
    assert left(kernel, desired(scene.view("h1"))) == []
