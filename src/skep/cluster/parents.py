"""Networks of the swarm on links of its hosts (macvlan, ipvlan): one subnet of a common segment,
from which the managers alone give out addresses, so that no two hosts give out one.

What a host says of the subnet is in a configuration network there (``--config-only``). All hosts
must name the same subnet and gateway; the ranges that they give out are the same or have nothing in
common, and any task may have an address of any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from msgspec.structs import replace

from skep.cluster.linkoptions import MTU, PARENT, mode_of
from skep.cluster.segments import Segment, segments
from skep.cluster.subnets import check_overlap, completed, parsed, reserved, taken_subnets
from skep.cluster.view import View
from skep.model.cluster import Form, Network, Node, Subnet
from skep.model.errors import Forbidden, Invalid, Missing, Refusal, Unsupported
from skep.model.spec import IpamConfig, NetworkSpec

NO_VNI = 0
"""No tunnel carries such a network."""


def subnets_on_links(view: View, spec: NetworkSpec) -> tuple[Subnet, ...]:
    """What a new network on links of the hosts gives out: of the hosts' configuration networks, or
    as its own spec says.

    Raises `Missing` (no host has the configuration), `Invalid`, `Forbidden` (overlap, hosts that
    disagree), `Unsupported` (no host's kernel has the driver).
    """
    _check_kernels(view, spec.driver)
    if spec.form:
        pairs = _of_forms(view, spec)
    else:
        _check_own(spec)
        pairs = segments(view, spec)
    return tuple(Subnet(four, NO_VNI, config6=six) for four, six in pairs)


def _check_kernels(view: View, driver: str) -> None:
    if not any(driver in node.grounds.drivers for node in view.nodes.values()):
        raise Unsupported(
            f"no host of this swarm has a kernel with {driver} links: use --driver overlay, or "
            f"kernels with the module {driver}"
        )


def _check_own(spec: NetworkSpec) -> None:
    driver = spec.driver
    if not spec.options.get(PARENT):
        raise Invalid(
            f"a {driver} network needs a link of each host: say which with -o parent=…, or make a "
            "configuration network on each host (--config-only) and name it with --config-from"
        )
    mode_of(spec.options, driver)
    for key in spec.options.keys() - {PARENT, f"{driver}_mode", MTU}:
        raise Unsupported(f"driver option {key} is not supported: leave it away")
    if not any(config.subnet for config in spec.ipam.config):
        raise Invalid(
            f"invalid network config:\na {driver} network of the swarm is on a segment that is "
            "there already: say its --subnet, and which part of it is free with --ip-range"
        )
    if sum(":" not in config.subnet for config in spec.ipam.config) > 1:
        raise Forbidden(f"{driver} driver doesn't support multiple subnets")


def _of_forms(view: View, spec: NetworkSpec) -> list[Segment]:
    """One segment for each range that hosts have, in the order of their addresses."""
    if spec.ipam.config or spec.options or spec.enable_i_pv6:
        raise Forbidden(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    found = [(host, pair) for host, form in _forms(view, spec.form) for pair in [_pair(form, host)]]
    if not found:
        raise Missing(
            f"configuration network {spec.form} not found: make it on each host that is to run "
            "tasks, with docker network create --config-only"
        )
    (first, chosen), *others = found
    pairs = [chosen]
    for host, pair in others:
        words = why_unfit(pairs, pair)
        if words:
            raise Forbidden(
                f"configuration network {spec.form} of host {host} does not go with that of "
                f"{first}: {words}"
            )
        pairs = joined(pairs, pair)
    for config in filter(None, chosen):
        check_overlap(parsed(config.subnet), taken_subnets(view))
    return pairs


def _forms(view: View, name: str) -> Iterator[tuple[str, Form]]:
    """The configuration networks of a name, with their hosts' names, in their order."""
    for node in sorted(view.nodes.values(), key=lambda each: each.description.hostname):
        form = form_of(node, name)
        if form is not None:
            yield node.description.hostname, form


def form_of(node: Node, name: str) -> Form | None:
    """A host's configuration network of a name."""
    return next((each for each in node.grounds.forms if each.name == name), None)


def _pair(form: Form, host: str) -> Segment:
    """The subnets of a configuration network, completed. Raises `Invalid`, with the host's name."""
    fours = [config for config in form.ipam if ":" not in config.subnet and config.subnet]
    sixes = [config for config in form.ipam if ":" in config.subnet]
    try:
        if len(fours) != 1 or len(sixes) > 1 or bool(sixes) != form.ipv6:
            raise Invalid(
                "it needs one subnet of IPv4 (--subnet), and for --ipv6 one of IPv6 beside it"
            )
        return completed(fours[0]), completed(sixes[0]) if sixes else None
    except Refusal as refusal:
        raise Invalid(f"configuration network {form.name} of host {host}: {refusal}") from None


def why_unfit(pairs: Iterable[Segment], pair: Segment) -> str:
    """Why a host's subnets do not go with those that others have, "" if they do."""
    for known in pairs:
        for one, other in zip(known, pair, strict=True):
            words = _difference(one, other)
            if words:
                return words
    return ""


def _difference(one: IpamConfig | None, other: IpamConfig | None) -> str:
    if one is None or other is None:
        return "" if one == other else "only one of them has IPv6"
    for word, mine, its in (
        ("subnet", one.subnet, other.subnet),
        ("gateway", one.gateway, other.gateway),
    ):
        if mine != its:
            return f"its {word} is {its} instead of {mine}, and all hosts need the same"
    spans = [parsed(config.ip_range or config.subnet) for config in (one, other)]
    if spans[0] != spans[1] and spans[0].overlaps(spans[1]):
        return f"its range {spans[1]} overlaps {spans[0]}: give the same range, or ones apart"
    return ""


def joined(pairs: list[Segment], pair: Segment) -> list[Segment]:
    """With another host's ranges, if they are others; what any host keeps back, all do."""
    four = pair[0]
    ranges = {known.ip_range for known, _ in pairs}
    if four.ip_range not in ranges:
        pairs = sorted([*pairs, pair], key=lambda each: ip_address(_first(each[0])))
    kept = {k: v for known, _ in pairs for k, v in known.auxiliary_addresses.items()}
    for name, address in four.auxiliary_addresses.items():
        if address not in kept.values():
            kept[name if name not in kept else f"{name} ({address})"] = address
    return [(replace(known, auxiliary_addresses=kept), sixth) for known, sixth in pairs]


def _first(config: IpamConfig) -> str:
    return (config.ip_range or config.subnet).partition("/")[0]


# --- later


def extended(network: Network, form: Form) -> Network:
    """The network with the ranges of a host that has come to have its configuration; unchanged if
    that does not go with those of others."""
    pairs = [(each.config, each.config6) for each in network.subnets]
    try:
        pair = _pair(form, "")
    except Refusal:
        return network
    if why_unfit(pairs, pair):
        return network
    cursors = {each.config.ip_range: each for each in network.subnets}
    subnets = tuple(
        replace(cursors.get(four.ip_range, Subnet(four, NO_VNI)), config=four, config6=six)
        for four, six in joined(pairs, pair)
    )
    return replace(network, subnets=subnets) if subnets != network.subnets else network


def unfit_for(node: Node, network: Network) -> str:
    """Why a host can have no task on a network on links of the hosts, "" if it can."""
    spec = network.spec
    if spec.driver not in node.grounds.drivers:
        return f"kernel without {spec.driver}"
    if not spec.form:
        return ""
    form = form_of(node, spec.form)
    if form is None:
        return f"no configuration network {spec.form}"
    try:
        words = why_unfit([(s.config, s.config6) for s in network.subnets], _pair(form, ""))
    except Refusal as refusal:
        words = str(refusal)
    return f"configuration network {spec.form}: {words}" if words else ""


def kept_back(view: View, network: Network, config: IpamConfig) -> frozenset[int]:
    """The addresses of a subnet that nobody is given: gateway, auxiliary ones, and of a segment
    that hosts are on, theirs."""
    own = reserved(config)
    if not network.spec.lower:
        return own
    hosts = {text for node in view.nodes.values() for text in (node.address, node.vtep) if text}
    return own | {int(ip_address(text)) for text in hosts if _is_address(text)}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
