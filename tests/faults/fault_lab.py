"""The lab that is damaged: quick ways into its hosts, and eyes that are not Skep's own.

What a host contains is read by ip, bridge and nft; what Skep says of it, from its metrics and log.
"""

import re
from pathlib import Path

from swarm_lab import SwarmLab, until

SUBNET = "10.50.0.0/24"

SNAPSHOT = r"""
for n in "" $(ls /run/netns); do
  E="nsenter --net=/run/netns/$n"; [ -n "$n" ] || E=
  $E ip -o link | sed -E 's/ state [A-Z]+//; s/(NO-CARRIER,|,LOWER_UP)//g; s/link-netns.*//' \
     | tr -d '\\' | sed "s|^|$n/link |"
  $E ip -o addr | tr -s ' ' | grep -v 'fe80:.*ff:fe' | grep -v eth0.*fe80 | sed "s|^|$n/addr |"
  $E ip route show table all | grep -v 'table local\|fe80::\|linkdown' | sed "s|^|$n/route |"
  $E ip -6 route show table all | grep -v 'table local\|fe80::' | sed "s|^|$n/route |"
  { $E ip rule; $E ip -6 rule; } | sed "s|^|$n/rule |"
  { $E ip neigh; } | grep PERMANENT | sed "s|^|$n/neigh |"
  $E bridge fdb | grep ' self permanent' | grep dst | sed "s|^|$n/fdb |"
  $E nft -s -a list ruleset | sed "s|^|$n/nft |"
done
"""
"""All that a host contains, one thing per line, with the namespace that it is in. Numbers of links
and handles of rules tell what was made anew."""

_TABLE = re.compile(r"^\S*/nft table (\S+ \S+)")


class FaultLab(SwarmLab):
    """Hosts h1 to h3: ``web`` on each of them, published, and a container ``box-hN``."""

    def furnish(self):
        self.docker("h1", "network", "create", "-d", "overlay", "--attachable",
                    "--subnet", SUBNET, "net")  # fmt: skip
        self.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "web",
                    "--mode", "global", "--network", "net", "--publish", "8080:80",
                    "nginx")  # fmt: skip
        for host in self.hosts:
            self.docker(host, "run", "-d", "--name", f"box-{host}", "--network", "net",
                        "busybox", "sleep", "86400")  # fmt: skip
        self.look()

    def look(self):
        """See what things are called now."""
        until(lambda: self.running("web", len(self.hosts)), 120)
        until(lambda: all(self.settled(host) for host in self.hosts), 120)
        self.words = {host: self.words_of(host) for host in self.hosts}

    def words_of(self, host):
        """What the cases call things: namespaces, links and addresses of one host."""
        listed = ("ps", "-q", "--filter", "name=web.")
        task = until(lambda: self.docker(host, *listed).split(), 60)[0]
        other = "h2" if host != "h2" else "h3"
        far = self.ip(other, f"box-{other}")
        return {
            "overlay": self.namespace_of("net"),
            "ingress": self.namespace_of("ingress"),
            "box": self.sandbox(host, f"box-{host}"),
            "task": self.sandbox(host, task),
            "peer": self.address(other),
            "far": far,
            "mac": "02:42:" + ":".join(f"{int(number):02x}" for number in far.split(".")),
            "near": self.ip(host, f"box-{host}"),
        }

    def namespace_of(self, network):
        """The namespace of a swarm network."""
        return "1-" + self.docker("h1", "network", "inspect", "-f", "{{.ID}}", network)[:10]

    def ip(self, host, container, network="net"):
        """A container's address on a network."""
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return self.docker(host, "inspect", "-f", form, container).strip()

    def said(self, host, text):
        """``text`` with each %word% replaced by what it is called on ``host``."""
        known = self.words[host]
        return re.sub(r"%(\w+)%", lambda found: known.get(found[1], found[0]), text)

    # --- inside

    def shell(self, host, script, *, check=True):
        """Run a shell script inside a host; its output."""
        return self.run(host, "sh", "-c", script, check=check)

    def contents(self, host):
        """All that a host's kernel contains, as a set of lines (see `SNAPSHOT`). What is in an nft
        table is one line, with the table's name in front."""
        found, table = set(), []
        for line in self.shell(host, SNAPSHOT).splitlines():
            if "/nft " not in line:
                found.add(line.strip())
            elif _TABLE.match(line):
                table = [line]
            else:
                table.append(line.partition("/nft ")[2].strip())
                if table[-1] == "}" and line.endswith("/nft }"):
                    found.add(" ".join(table))
        return found

    def reboot(self, host):
        """All of a host's processes end at once, and with them its namespaces; then it comes up
        again, with the disk that it had."""
        self.skep("reboot", host)

    # --- what Skep says

    def metrics(self, host, *, check=True):
        """What a host measures: {'name{labels}': value}."""
        lines = self.shell(host, "curl -s http://127.0.0.1:9323/metrics", check=check)
        lines = [line for line in lines.splitlines() if line and not line.startswith("#")]
        split = [line.rpartition(" ") for line in lines]
        return {name: float(value) for name, _, value in split}

    def repairs(self, host):
        """How often a host has put something right, by kind of operation."""
        found = self.metrics(host).items()
        drift = re.compile(r'skep_drift_repairs_total\{kind="(\w+)"\}')
        return {m[1]: int(value) for name, value in found if (m := drift.fullmatch(name))}

    def log(self, host):
        """A host's log."""
        return Path(f"/var/lib/skep-lab/{self.name}/{host}/skepd.log")

    def settled(self, host):
        """Whether a host's kernel stays as it is: nothing was changed between two looks. A daemon
        that begins to answer can be measured a moment later."""
        name = "skep_kernel_changes_total"
        before = self.metrics(host, check=False).get(name)
        self.shell(host, "sleep 0.6")
        return before is not None and before == self.metrics(host, check=False).get(name)
