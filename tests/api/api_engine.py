"""A container engine in memory that speaks `EnginePort`, in Podman's manner."""

from __future__ import annotations

import asyncio
import json
import struct

from skep.model.errors import Broken, Clash, Missing


class Process:
    """A scripted process: what it prints follows from its command, ``cat`` echoes its input."""

    def __init__(self, command, *, tty):
        self.command, self.tty = command, tty
        self.input = asyncio.Queue()
        self.output = asyncio.Queue()
        self.ended = asyncio.get_running_loop().create_future()

    def say(self, data, stream=1):
        head = b"" if self.tty else struct.pack(">BxxxI", stream, len(data))
        self.output.put_nowait(head + data)

    def end(self, code):
        if not self.ended.done():
            self.ended.set_result(code)
            self.output.put_nowait(b"")

    async def run(self):
        match self.command:
            case ["echo", *words]:
                self.say(" ".join(words).encode() + b"\n")
                self.end(0)
            case ["cat"]:
                while data := await self.input.get():
                    self.say(data)
                self.say(b"end of input\n")
                self.end(0)
            case ["fail", code]:
                self.say(b"out\n")
                self.say(b"err\n", stream=2)
                self.end(int(code))
            case ["flood", count]:
                for _ in range(int(count)):
                    self.say(b"x" * 65536)
                self.end(0)
            case _:
                await self.ended


class Stream:
    """The raw stream of one process, as `RawStream`."""

    def __init__(self, process):
        self.process, self.closed, self.ended_input = process, False, False

    async def read(self):
        return await self.process.output.get()

    async def write(self, data):
        self.process.input.put_nowait(data)

    async def write_eof(self):
        self.ended_input = True
        self.process.input.put_nowait(b"")

    async def close(self):
        self.closed = True


class Reply:
    def __init__(self, status, body=b"", headers=None, pieces=None):
        self.status, self.closed = status, False
        self.headers = headers or {"Content-Type": "application/json"}
        self._pieces = pieces or _one(body)

    async def json(self):
        whole = b"".join([piece async for piece in self.chunks()])
        return json.loads(whole) if whole else None

    def chunks(self):
        return self._pieces

    async def close(self):
        self.closed = True


async def _one(body):
    yield body


def as_json(value, status=200):
    return Reply(status, json.dumps(value).encode())


def error(status, message):
    return as_json({"message": message}, status)


class FakeEngine:
    """``containers`` by id; ``images`` by name; every request is noted in ``asked``."""

    def __init__(self):
        self.containers, self.execs, self.streams = {}, {}, []
        self.images = {
            "localhost/busybox:latest": "11" * 32,
            "docker.io/library/nginx:latest": "22" * 32,
        }
        self.asked, self.uploads, self.broken, self.replies = [], [], None, []
        self.tasks = set()
        self.shown = []

    # --- what the host does with it

    def create(self, id, name, body):
        config = body.get("Cmd") or ["sleep"]
        self.containers[id] = {
            "Id": id,
            "Name": name,
            "Image": body["Image"],
            "Tty": bool(body.get("Tty")),
            "Process": Process(config, tty=bool(body.get("Tty"))),
            "State": "created",
            "Created": 1000,  # in whole seconds, as an engine has it
            "Labels": body.get("Labels") or {},
            "AutoRemove": (body.get("HostConfig") or {}).get("AutoRemove"),
        }

    def start(self, id):
        container = self.containers[id]
        if container["Process"].ended.done():
            container["Process"] = Process(container["Process"].command, tty=container["Tty"])
        container["State"] = "running"
        self._spawn(self._life(container))

    async def _life(self, container):
        process = container["Process"]
        await process.run()
        if container["Process"] is process:
            container["State"] = "exited"

    def stop(self, id):
        container = self.containers[id]
        running = container["State"] == "running"
        container["State"] = "exited"
        container["Process"].end(137)
        return running

    def _spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- the port

    def showing(self, headers):
        self.shown.append(headers)
        return self

    async def request(self, method, path, *, params=None, json=None, body=None):
        self.asked.append((method, path, dict(params or {})))
        if self.broken:
            raise self.broken
        if body is not None:
            self.uploads.append(b"".join([piece async for piece in body]))
        match path.partition("?")[0].strip("/").split("/"):
            case ["containers", "json"]:
                return as_json([self._row(c) for c in self.containers.values()])
            case ["containers", id, *rest]:
                if id not in self.containers:
                    return error(404, f"No such container: {id}")
                return self._container(method, self.containers[id], rest, json)
            case ["exec", id, *rest]:
                return self._exec(id, rest)
            case ["images", *rest]:
                return self._images(method, rest)
            case ["volumes", *rest]:
                return self._volumes(method, rest)
            case ["_ping"]:
                return Reply(200, b"OK")
            case ["info"]:
                return as_json({"Driver": "overlay", "Images": 2, "CgroupVersion": "1"})
            case ["version"]:
                return as_json({"Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]})
            case ["system", "df"]:
                return as_json({"LayersSize": 10, "Images": None, "Volumes": None})
        return error(404, f"unexpected {path}")

    async def hijack(self, path, *, params=None, json=None):
        self.asked.append(("HIJACK", path, dict(params or {})))
        kind, id, _ = path.strip("/").split("/")
        if kind == "containers":
            return self._stream(self.containers[id]["Process"])
        if id not in self.execs:
            raise Missing(f"No such exec instance: {id}")
        process = self.execs[id]
        if process.command == ["unable"]:
            raise Broken("unable to find user nosuch")
        if process.command == ["busy"]:
            raise Clash("Exec command is already running")
        self._spawn(process.run())
        return self._stream(process)

    def _stream(self, process):
        self.streams.append(Stream(process))
        return self.streams[-1]

    # --- its answers

    def _row(self, container):
        return {
            "Id": container["Id"],
            "Names": [f"/{container['Name']}"],
            "Image": f"localhost/{container['Image']}",
            "ImageID": "11" * 32,
            "Command": "sleep",
            "Created": container["Created"],
            "State": container["State"],
            "Status": "Up 3 seconds" if container["State"] == "running" else "Created",
            "Labels": container["Labels"],
            "Ports": [],
            "Mounts": [],
            "SizeRw": 5,
            "NetworkSettings": {"Networks": None},
        }

    def _inspected(self, container):
        running = container["State"] == "running"
        ours = {"Destination": "/etc/hosts", "Source": "/var/lib/skep/hosts", "Type": "bind"}
        return {
            "Id": container["Id"],
            "Name": container["Name"],
            "Created": "2024-01-01T00:00:00Z",
            "Image": "11" * 32,
            "State": {
                "Status": "running" if running else "configured",
                "Running": running,
                "Health": {"Status": ""},
            },
            "Config": {
                "Tty": container["Tty"],
                "Image": f"localhost/{container['Image']}",
                "StopSignal": "15",
            },
            "HostConfig": {
                "NetworkMode": "ns:/run/netns/x",
                "Binds": ["/var/lib/skep/hosts:/etc/hosts:rw", "/data:/data"],
                "RestartPolicy": {"Name": ""},
            },
            "Mounts": [ours, {"Destination": "/data", "Source": "/data", "Type": "bind"}],
            "NetworkSettings": {},
        }

    def _container(self, method, container, rest, body):
        process = container["Process"]
        match method, rest:
            case "GET", ["json"]:
                return as_json(self._inspected(container))
            case "POST", ["wait"]:
                return Reply(200, pieces=self._wait(process))
            case "GET", ["logs"]:
                return Reply(200, _frame(1, b"a line\n"), {"Content-Type": "text/plain"})
            case "POST", ["exec"]:
                id = f"e{len(self.execs)}" * 8
                self.execs[id] = Process(body["Cmd"], tty=bool(body.get("Tty")))
                return as_json({"Id": id}, 201)
            case "POST", ["kill"]:
                if not self.stop(container["Id"]):
                    return error(409, "container is not running")
                return Reply(204)
            case "GET", ["top"]:
                return as_json({"Titles": ["PID"], "Processes": [["1"]]})
            case "GET", ["stats"]:
                return as_json({"name": container["Name"], "read": "now"})
            case "HEAD", ["archive"]:
                return Reply(200, b"", {"X-Docker-Container-Path-Stat": "e30="})
            case "GET", ["archive"]:
                return Reply(200, b"tar", {"Content-Type": "application/x-tar"})
        return Reply(200, b"{}")

    async def _wait(self, process):
        code = await asyncio.shield(process.ended)
        yield json.dumps({"StatusCode": code, "Error": None}).encode()

    def _exec(self, id, rest):
        if id not in self.execs:
            return error(404, f"No such exec instance: {id}")
        ended = self.execs[id].ended
        running = not ended.done()
        code = None if running else ended.result()
        if rest == ["json"]:
            return as_json({"ID": id, "Running": running, "ExitCode": code})
        return Reply(200, b"")

    def _images(self, method, rest):
        match method, rest:
            case "GET", ["json"]:
                return as_json(
                    [
                        {"Id": id, "RepoTags": [name], "Created": 1, "Size": 9, "Containers": 0}
                        for name, id in self.images.items()
                    ]
                )
            case "GET", ["get"]:
                return Reply(200, b"tar", {"Content-Type": "application/x-tar"})
            case "POST", ["load"]:
                return Reply(200, b'{"stream":"Loaded image: localhost/busybox:latest\\n"}\n')
            case "POST", ["create"]:
                return error(500, "no registry access: no image can be pulled")
            case "GET", [name, "json"] if name in ("nginx", "nginx:latest"):
                return as_json({"Id": "22" * 32, "RepoTags": ["docker.io/library/nginx:latest"]})
            case "DELETE", ["nginx"]:
                return as_json([{"Untagged": "docker.io/library/nginx:latest"}, {"Deleted": "22"}])
        return error(404, f"{'/'.join(rest[:-1])}: image not known")

    def _volumes(self, method, rest):
        if method == "GET" and not rest:
            return as_json({"Volumes": None})
        if rest == ["create"]:
            return as_json({"Name": "v9", "Driver": "local"}, 201)
        return error(404, "no such volume")


def _frame(stream, data):
    return struct.pack(">BxxxI", stream, len(data)) + data
