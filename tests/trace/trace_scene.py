"""A surveyed cluster: `plan_scene`'s, as its hosts would tell of themselves when looked into."""

from __future__ import annotations

import msgspec
from fake_kernel import FakeKernel
from plan_scene import IDLE_VIP, MONGO, WEB_VIP, vtep, web_scene

from skep.model.host import INGRESS_SANDBOX
from skep.model.inspection import (
    Device,
    HostRoute,
    Inside,
    Inspection,
    Listener,
    NameAnswer,
    PeerSight,
    RuleCount,
)
from skep.model.nft import Chain, Hook, Rule, Table
from skep.model.spec import PortConfig
from skep.plan.desired import desired
from skep.plan.diff import diff
from skep.trace.survey import Report, ServiceFact, Survey, TaskFact
from skep.trace.trace import trace

NOW = 1_700_000_000.0
CLIENT, WEB1, WEB2, IDLE1 = "client000000", "web100000000", "web200000000", "idle10000000"
OVERLAY = f"1-{MONGO[:10]}"
ANSWERS = {
    "web": (WEB_VIP,),
    "tasks.web": ("10.0.1.11", "10.0.1.12"),
    "idle": (IDLE_VIP,),
    "web2": ("10.0.1.12",),
}


def observed(view):
    """What a kernel would show that contains all that the view asks for."""
    kernel = FakeKernel()
    wanted = desired(view)
    kernel.apply(diff(wanted, kernel.observe(wanted)))
    return kernel.observe(wanted)


def named(view):
    """The view with containers called as their sandboxes' ids begin."""
    boxes = tuple(
        box if box.id == INGRESS_SANDBOX else msgspec.structs.replace(
            box, container_name=box.id.rstrip("0"), container_id=f"c{box.id}",
            task_id="" if box.id.startswith("client") else box.id.rstrip("0"),
        )
        for box in view.sandboxes
    )  # fmt: skip
    return msgspec.structs.replace(view, sandboxes=boxes)


def counts(state):
    """Handles as the kernel would give them, and the numbers of rules that count."""
    return {
        name: tuple(
            RuleCount(
                family=table.family, table=table.name, chain=chain.name, number=number,
                handle=10 + number,
            )
            for table in namespace.tables
            for chain in table.chains
            for number, _ in enumerate(chain.rules)
        )
        for name, namespace in state.items()
    }  # fmt: skip


def admin_table(*statements, hook="input", policy="accept"):
    chain = Chain("in", (Rule(statements),), Hook("filter", hook, 0, policy))
    return Table("guard", (chain,), (), "inet")


class Hosts:
    """h1 (client, web1), h2 (web2, idle1), h3 (nothing), which tests break before they trace."""

    def __init__(self, scene=None):
        self.scene = scene or web_scene()
        self.views = {host: named(self.scene.view(host)) for host in self.scene.hosts}
        self.states = {host: observed(view) for host, view in self.views.items()}
        self.devices = {host: {"mtu": 1500, "up": True, "carrier": True} for host in self.views}
        self.routes = {
            host: [
                HostRoute(destination="192.168.50.0/24", link="eth9"),
                HostRoute(destination="0.0.0.0/0", link="eth9", via="192.168.50.254"),
            ]
            for host in self.views
        }
        self.listeners = {
            ("h1", WEB1): [Listener(protocol="tcp", address="0.0.0.0", port=80)],
            ("h2", WEB2): [Listener(protocol="tcp", address="0.0.0.0", port=80)],
        }
        for host, box in ((("h1", WEB1)), ("h2", WEB2)):
            self.listeners[host, box].append(Listener(protocol="udp", address="0.0.0.0", port=53))
        self.sixths = {}
        self.foreign = {}
        self.mesh = {}
        self.failures = {}
        self.silent = {}
        self.answers = dict(ANSWERS)
        self.errors = {}
        self.told = dict(ANSWERS)

    # --- breaking

    def change(self, host, namespace, **fields):
        """Replace parts of a namespace."""
        state = self.states[host]
        state[namespace] = msgspec.structs.replace(state[namespace], **fields)

    def change_link(self, host, namespace, name, **fields):
        links = dict(self.states[host][namespace].links)
        links[name] = msgspec.structs.replace(links[name], **fields)
        self.change(host, namespace, links=links)

    def drop(self, host, namespace, field, condition):
        """Remove what fits from a set or tuple of a namespace."""
        items = getattr(self.states[host][namespace], field)
        kept = type(items)(each for each in items if not condition(each))
        assert len(kept) < len(items), f"nothing of {field} fits"
        self.change(host, namespace, **{field: kept})

    def swap(self, host, namespace, field, condition, **fields):
        """Change the members of a set that fit."""
        items = getattr(self.states[host][namespace], field)
        assert any(map(condition, items)), f"nothing of {field} fits"
        changed = type(items)(
            msgspec.structs.replace(each, **fields) if condition(each) else each for each in items
        )
        self.change(host, namespace, **{field: changed})

    def view(self, host, **fields):
        self.views[host] = msgspec.structs.replace(self.views[host], **fields)

    # --- looking

    def inspection(self, host):
        state = self.states[host]
        rules = counts(state)
        device = self.devices[host]
        return Inspection(
            node_id=host,
            hostname=host,
            begun_at=NOW,
            done_at=NOW,
            view=self.views[host],
            state=state,
            insides={
                name: Inside(
                    rules=rules[name],
                    foreign=tuple(self.foreign.get((host, name), ())),
                    listeners=tuple(self.listeners.get((host, name), ())),
                )
                for name in state
            },
            devices=(
                Device(
                    name="eth9",
                    index=2,
                    **{"addresses": (f"{vtep(host)}/24", *self.sixths.get(host, ())), **device},
                ),
            ),
            routes=tuple(self.routes[host]),
            mesh={
                peer: self.mesh.get(
                    (host, peer),
                    PeerSight(address=vtep(peer), seen_at=NOW, rtt=0.0004, probes=20),
                )
                for peer in self.views
                if peer != host
            },
            failures=tuple(self.failures.get(host, ())),
        )

    def survey(self):
        names = tuple(
            NameAnswer(
                namespace=CLIENT,
                name=name,
                expected=self.told.get(name),
                answered=() if name in self.errors else self.answers.get(name, ()),
                code="" if name in self.errors else "NOERROR",
                seconds=0.0004,
                error=self.errors.get(name, ""),
            )
            for name in self.told
        )
        return Survey(
            by="h1",
            whole=True,
            reports=tuple(self._report(host) for host in self.views),
            services=(
                service("web", "RUNNING", ("web1", "h1"), ("web2", "h2")),
                service("idle", "STARTING", ("idle1", "h2")),
            ),
            names=names,
        )

    def _report(self, host):
        silence = self.silent.get(host, "")
        return Report(
            node_id=host,
            hostname=host,
            vtep=vtep(host),
            address=vtep(host),
            asked_at=NOW,
            heard_at=NOW,
            inspection=None if silence else self.inspection(host),
            silence=silence,
        )

    def trace(self, source, target):
        return trace(self.survey(), source, target)


def service(name, state, *tasks):
    published = name == "web"
    ports = (
        (
            PortConfig(protocol="tcp", target_port=80, published_port=8080),
            PortConfig(protocol="udp", target_port=53, published_port=5353),
        )
        if published
        else ()
    )
    return ServiceFact(
        id=name,
        name=name,
        networks=("mongo",),
        vips={"mongo": WEB_VIP if published else IDLE_VIP},
        ports=ports,
        tasks=tuple(
            TaskFact(
                id=task, name=f"{name}.1", node_id=host, desired="running", state=state.lower(),
                message="" if published else "waiting for its health check",
            )
            for task, host in tasks
        ),
    )  # fmt: skip
