"""Is everything right? Asked from outside: what each host's kernel contains is held against the
containers that run, and the hosts against one another. No word of Skep's is taken for it."""

import re
from collections import Counter

LOOK = r"""
for n in "" $(ls /run/netns); do
  E="nsenter --net=/run/netns/$n"; [ -n "$n" ] || E=
  $E ip -o link | sed "s|^|$n/link |"
  $E ip -o -4 addr | tr -s ' ' | sed "s|^|$n/addr |"
  case $n in 1-*)
    $E ip neigh show nud permanent | sed "s|^|$n/neigh |"
    $E bridge fdb | grep dst.*' self permanent' | sed "s|^|$n/fdb |"
  esac
done
"""
"""What of a host is held against the others, one thing per line, with the namespace that it is in.
It is looked at hundreds of times: nothing more."""

ADDRESS = re.compile(r"(\S*)/addr \d+: (\S+) inet ([\d.]+)/(\d+) ")
PORT = re.compile(r"(\S*)/link \d+: (veth\d+)@")
NEIGHBOUR = re.compile(r"(\S*)/neigh ([\d.]+) dev vxlan0 lladdr (\S+) ")
ENTRY = re.compile(r"(\S*)/fdb (\S+) dev vxlan0 dst ([\d.]+) ")


def mac_of(address):
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


class Audit:
    """One look at all hosts. ``wrong`` says what is not right, in words."""

    def __init__(self, lab, networks=("net", "ingress")):
        self._lab = lab
        self._lines = {host: lab.shell(host, LOOK).splitlines() for host in lab.hosts}
        self.wrong = []
        for host in lab.hosts:
            self._namespaces(host)
        for network in networks:
            self._network(lab.namespace_of(network))

    def _found(self, host, pattern):
        return [found.groups() for line in self._lines[host] if (found := pattern.match(line))]

    def _namespaces(self, host):
        """Each running container has its namespace, and all belong to containers."""
        there = {line.partition("/")[0] for line in self._lines[host]} - {"", "ingress_sbox"}
        there = {name for name in there if not name.startswith("1-")}
        running = self._sandboxes(host, "-q")
        self._same(f"namespaces of running containers on {host}", there & running, running)
        surplus = there - self._sandboxes(host, "-aq")
        self._same(f"namespaces without a container on {host}", surplus, set())

    def _sandboxes(self, host, which):
        ids = self._lab.docker(host, "ps", which).split()
        form = "{{.NetworkSettings.SandboxID}}"
        return {
            each[:12]
            for each in (self._lab.docker(host, "inspect", "-f", form, *ids).split() if ids else ())
        }

    def _network(self, space):
        """Every endpoint is known to every host that has one, at the right place."""
        home = {}
        for host in self._lab.hosts:
            prefix = self._prefix(host, space)
            own = [
                address
                for name, _, address, length in self._found(host, ADDRESS)
                if prefix and name and name != space and length == "24"
                and address.startswith(prefix)
            ]  # fmt: skip
            home[host] = own
            ports = [port for name, port in self._found(host, PORT) if name == space]
            if len(ports) != len(own):
                self.wrong.append(f"{len(ports)} ports for {len(own)} endpoints on {host}, {space}")
        twice = [each for each, n in Counter(a for own in home.values() for a in own).items()
                 if n > 1]  # fmt: skip
        self._same(f"addresses in two places in {space}", set(twice), set())
        for host in self._lab.hosts:
            if home[host]:
                self._entries(host, space, home)

    def _prefix(self, host, space):
        gateways = [a for name, link, a, _ in self._found(host, ADDRESS)
                    if (name, link) == (space, "br0")]  # fmt: skip
        return gateways[0].rpartition(".")[0] + "." if gateways else ""

    def _entries(self, host, space, home):
        others = {
            address: self._lab.address(each)
            for each, own in home.items() if each != host
            for address in own
        }  # fmt: skip
        found = {(a, mac) for name, a, mac in self._found(host, NEIGHBOUR) if name == space}
        wanted = {(address, mac_of(address)) for address in others}
        self._same(f"neighbours of {space} on {host}", found, wanted)
        found = {(mac, to) for name, mac, to in self._found(host, ENTRY) if name == space}
        wanted = {(mac_of(address), vtep) for address, vtep in others.items()}
        self._same(f"forwarding of {space} on {host}", found, wanted)

    def _same(self, what, found, wanted):
        if found != wanted:
            self.wrong.append(f"{what}: has {sorted(found - wanted)} too many, "
                              f"lacks {sorted(wanted - found)}")  # fmt: skip


def right(lab):
    """Wait until everything is right."""
    from swarm_lab import until  # noqa: PLC0415 - found by way of conftest

    last = []

    def looks_right():
        try:
            last[:] = Audit(lab).wrong
        except AssertionError as missed:
            # What it wanted to look at went away meanwhile.
            last[:] = [f"not seen: {missed}"]
        return not last

    try:
        until(looks_right, 180)
    except AssertionError:
        raise AssertionError("; ".join(last)) from None
