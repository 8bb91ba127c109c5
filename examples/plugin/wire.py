#!/usr/bin/env python3
"""wire: a network plugin in one file. Each network is a bridge of the host, each container on it one
end of a veth pair whose other end is a port of that bridge. It also gives the addresses, if asked to.

    wire.py [--socket /run/docker/plugins/wire.sock] [--state /var/lib/wire.json]

It speaks Docker's plugin protocol: HTTP POST with JSON over a unix socket, one path for each call
(https://github.com/moby/moby/blob/master/daemon/libnetwork/docs/remote.md, …/ipam.md). The socket's
name is the driver's: docker network create -d wire --ipam-driver wire NAME.

What the network driver has made is in the kernel, and found there by its names; what the IPAM driver
has given is in a file. So it can be stopped and started at any time.
"""

import argparse
import http.server
import ipaddress
import json
import os
import socketserver
import subprocess
import threading

MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
POOLS = [str(each) for each in ipaddress.ip_network("10.200.0.0/16").subnets(new_prefix=24)]
POOLS6 = [str(each) for each in ipaddress.ip_network("fd77:6972:65::/48").subnets(new_prefix=64)]


class Refusal(Exception):
    """What is said in {"Err": …}."""


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def exists(link):
    return os.path.exists(f"/sys/class/net/{link}")


class NetworkDriver:
    """Links have at most 15 characters: a kind and the first digits of an id."""

    def GetCapabilities(self, _):
        return {"Scope": "local", "ConnectivityScope": "local"}

    def CreateNetwork(self, asked):
        bridge = self.bridge(asked)
        ip("link", "add", bridge, "type", "bridge")
        for pool in (asked.get("IPv4Data") or []) + (asked.get("IPv6Data") or []):
            if pool.get("Gateway"):
                nodad = ["nodad"] if ":" in pool["Gateway"] else []
                ip("addr", "add", pool["Gateway"], "dev", bridge, *nodad)
        ip("link", "set", bridge, "up")

    def DeleteNetwork(self, asked):
        if exists(self.bridge(asked)):
            ip("link", "del", self.bridge(asked))

    def CreateEndpoint(self, asked):
        port, inner = self.pair(asked)
        if not asked.get("Interface"):
            raise Refusal("wire gives no addresses by itself: use --ipam-driver wire")
        ip("link", "add", port, "type", "veth", "peer", "name", inner)
        ip("link", "set", port, "master", self.bridge(asked), "up")
        return {"Interface": {}}  # nothing to add to what we were told

    def EndpointOperInfo(self, asked):
        return {"Value": {"port": self.pair(asked)[0]}}

    def DeleteEndpoint(self, asked):
        port, _ = self.pair(asked)
        if exists(port):
            ip("link", "del", port)

    def Join(self, asked):
        """Where the gateway is, the bridge knows."""
        found = json.loads(ip("-j", "addr", "show", "dev", self.bridge(asked)))[0]["addr_info"]
        own = {each["family"]: each["local"] for each in found if each["scope"] == "global"}
        return {
            "InterfaceName": {"SrcName": self.pair(asked)[1], "DstPrefix": "eth"},
            "Gateway": own.get("inet", ""),
            "GatewayIPv6": own.get("inet6", ""),
        }

    def Leave(self, _):
        """The interface is back in the host's namespace, and goes with its endpoint."""

    def DiscoverNew(self, _):
        """Bridges of one host need not know others."""

    def DiscoverDelete(self, _):
        """Nor forget them."""

    def bridge(self, asked):
        return f"wirebr{asked['NetworkID'][:8]}"

    def pair(self, asked):
        return f"wirep{asked['EndpointID'][:9]}", f"wirec{asked['EndpointID'][:9]}"


class IpamDriver:
    """``pools`` are the addresses in use, by pool; a pool's id is its subnet."""

    def __init__(self, state):
        self.state = state
        self.pools = {}
        if os.path.exists(state):
            with open(state) as file:
                self.pools = json.load(file)

    def GetCapabilities(self, _):
        return {"RequiresMACAddress": False, "RequiresRequestReplay": False}

    def GetDefaultAddressSpaces(self, _):
        return {"LocalDefaultAddressSpace": "wirelocal", "GlobalDefaultAddressSpace": "wireglobal"}

    def RequestPool(self, asked):
        candidates = [asked["Pool"]] if asked.get("Pool") else POOLS6 if asked.get("V6") else POOLS
        for text in candidates:
            subnet = ipaddress.ip_network(text)
            others = (ipaddress.ip_network(each) for each in self.pools)
            if not any(subnet.version == o.version and subnet.overlaps(o) for o in others):
                self.pools[text] = []
                self.save()
                return {"PoolID": text, "Pool": text, "Data": {}}
        raise Refusal(f"no subnet is free of {candidates[0]} … {candidates[-1]}")

    def ReleasePool(self, asked):
        self.pools.pop(asked["PoolID"], None)
        self.save()

    def RequestAddress(self, asked):
        subnet, used = self.pool(asked["PoolID"])
        wanted = asked.get("Address")
        if wanted and (wanted in used or ipaddress.ip_address(wanted) not in subnet):
            raise Refusal(f"{wanted} is in use, or not in {subnet}")
        # The latest given is the last of the list: go on from there, so that addresses rest.
        after = int(ipaddress.ip_address(used[-1])) if used else int(subnet.network_address)
        if not wanted:
            first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - 1
            room = range(first, min(last, first + 65535) + 1)
            order = [*(n for n in room if n > after), *(n for n in room if n <= after)]
            free = (str(type(subnet.network_address)(n)) for n in order)
            wanted = next((each for each in free if each not in used), None)
            if wanted is None:
                raise Refusal(f"all addresses of {subnet} are in use")
        used.append(wanted)
        self.save()
        return {"Address": f"{wanted}/{subnet.prefixlen}", "Data": {}}

    def ReleaseAddress(self, asked):
        _, used = self.pool(asked["PoolID"])
        if asked["Address"] in used:
            used.remove(asked["Address"])
            self.save()

    def pool(self, name):
        if name not in self.pools:
            raise Refusal(f"there is no pool {name}")
        return ipaddress.ip_network(name), self.pools[name]

    def save(self):
        with open(f"{self.state}.new", "w") as file:
            json.dump(self.pools, file)
        os.replace(f"{self.state}.new", self.state)


class Handler(http.server.BaseHTTPRequestHandler):
    """One request after the other: the calls share the kernel and a file."""

    drivers = {}
    lock = threading.Lock()

    def do_POST(self):
        said = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, _, call = self.path.removeprefix("/").partition(".")
        status, answer = self.answer(kind, call, json.loads(said) if said else {})
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", MEDIA_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, kind, call, asked):
        if (kind, call) == ("Plugin", "Activate"):
            return 200, {"Implements": list(self.drivers)}
        method = getattr(self.drivers.get(kind), call, None) if call[:1].isupper() else None
        if method is None:
            return 404, {}
        try:
            with self.lock:
                return 200, method(asked) or {}
        except Refusal as refusal:
            return 200, {"Err": str(refusal)}

    def address_string(self):
        return "docker"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def serve(options):
    Handler.drivers = {"NetworkDriver": NetworkDriver(), "IpamDriver": IpamDriver(options.state)}
    os.makedirs(os.path.dirname(options.socket), exist_ok=True)
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    with Server(options.socket, Handler) as server:
        server.serve_forever()


def parsed(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--socket", default="/run/docker/plugins/wire.sock")
    parser.add_argument("--state", default="/var/lib/wire.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    serve(parsed())
