"""A swarm that is traced and examined: services of every kind on it, and hands to break it with."""

import json
import os
import subprocess
import sys

from swarm_lab import SwarmLab, must, until

SKEP_CLI = [sys.executable, "-m", "skep.cli.main"]
NETWORK = "app"


class TraceLab(SwarmLab):
    """Three hosts: ``client`` on h1; on h2 a task of ``web`` (published on 8080, with a VIP), of
    ``turns`` (dnsrr) and of ``slow`` (two tasks, h1 and h2); nothing on h3."""

    def furnish(self):
        self.docker("h1", "network", "create", "-d", "overlay", "--attachable", NETWORK)
        self.service("web", "--publish", "8080:80", "--constraint", "node.hostname==h2", "nginx")
        self.service(
            "turns", "--endpoint-mode", "dnsrr", "--constraint", "node.hostname==h2", "nginx"
        )
        self.docker("h1", "run", "-d", "--name", "client", "--network", NETWORK, "busybox",
                    "sleep", "86400")  # fmt: skip
        for service in ("web", "turns"):
            until(lambda name=service: self.running(name, 1), 60)
        self.bridge = f"1-{self.network_id(NETWORK)[:10]}"
        self.mesh_bridge = f"1-{self.network_id('ingress')[:10]}"
        until(lambda: not self.doctor()["findings"], 60)

    def service(self, name, *options):
        self.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", name,
                    "--network", NETWORK, *options)  # fmt: skip

    @property
    def client_box(self):
        return self.sandbox("h1", "client")

    @property
    def web_box(self):
        """Of the task that there is now: a cut makes the swarm start another."""
        return self.sandbox("h2", self.container("h2", "web"))

    def network_id(self, name):
        return self.docker("h1", "network", "inspect", "-f", "{{.ID}}", name).strip()

    def container(self, host, service):
        """The id of a service's container on a host."""
        return self.docker(
            host, "ps", "-q", "--no-trunc", "--filter", f"name={service}."
        ).split()[0]  # fmt: skip

    def ip(self, host, container, network=NETWORK):
        return self.docker(
            host, "inspect", "-f",
            f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', container,
        ).strip()  # fmt: skip

    def inside_of(self, host, namespace, command, *, check=True):
        """A shell command inside a namespace of a host ("": its own)."""
        enter = f"nsenter --net=/run/netns/{namespace} " if namespace else ""
        return self.run(host, "sh", "-c", f"{enter}sh -c '{command}'", check=check)

    # --- looking

    def skep_cli(self, host, *words, stdin=None):
        """One skep command against a host: exit code, output, complaints."""
        done = subprocess.run(
            [*SKEP_CLI, *words], capture_output=True, text=True, timeout=120, check=False,
            input=stdin, env=os.environ | {"DOCKER_HOST": f"unix://{self.socket(host)}"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def trace(self, source, target, *options, host="h1"):
        code, output, complaints = self.skep_cli(host, "trace", "--json", *options, source, target)
        must(output, complaints)
        return code, json.loads(output)

    def doctor(self, *options, host="h1"):
        _, output, complaints = self.skep_cli(host, "doctor", "--json", *options)
        must(output, complaints)
        return json.loads(output)

    def hold(self, *hosts):
        for host in hosts:
            code, _, complaints = self.skep_cli("h1", "hold", host)
            must(code == 0, complaints)

    def release(self, *hosts):
        for host in hosts:
            code, _, complaints = self.skep_cli("h1", "hold", "--release", host)
            must(code == 0, complaints)
