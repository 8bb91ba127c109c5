"""A worker that tries what only others may, with its real key (run inside its host).

bad_worker.py STATE reads one JSON object of targets and prints one of what it was told, by attempt.
"""

import asyncio
import json
import ssl
import sys
import time
from contextlib import aclosing
from pathlib import Path

import aiohttp
import msgspec

from skep.model.cluster import NodeDescription, TaskState, TaskStatus
from skep.model.errors import Refusal, Unavailable
from skep.model.messages import Assign, Detach, Hello, LogPiece, StateAnswer, Status
from skep.wire import identity
from skep.wire.authority import SERVER_NAME, subject_of
from skep.wire.client import AgentConnection, renew
from skep.wire.tls import client_context, load_own

STATE, TARGETS = Path(sys.argv[1]), json.loads(sys.stdin.read())
ME = identity.load(STATE)
(MANAGER,) = ME.managers.values()
PATIENCE, LONGEST = 5.0, 60.0
PATHS = ("/services", "/v1.43/services", "/nodes", "/swarm", "/secrets", "/tokens", "/join", "/",
         "/networks", "/containers/json", "/info")  # fmt: skip


async def session(*said, awaited, vtep=ME.vtep):
    """Say this on sessions of ours for a while, and on until ``awaited`` was told: what we were
    assigned, and why they ended."""
    hello = Hello(description=NodeDescription(hostname="h2"), address=ME.address, vtep=vtep)
    connection = AgentConnection(ME.credentials, ME.managers, lambda: [hello, *said])
    assigned, problems = [], set()

    async def listen():
        async with aclosing(connection.messages()) as messages:
            async for message in messages:
                if isinstance(message, Assign):
                    assigned.append(repr(msgspec.msgpack.encode(message)))

    listening = asyncio.create_task(listen())

    def told():
        return any(awaited in each for each in (*problems, *assigned))

    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < PATIENCE or (passed < LONGEST and not told()):
        problems.add(connection.problem)
        await asyncio.sleep(0.002)
    await connection.close()
    await listening
    return {"ended": " ".join(problems), "assigned": "".join(assigned)}


async def http():
    """The answers of every path that one might try, asked both ways."""
    context = client_context(ME.credentials.ca, ME.credentials)
    found = {}
    async with aiohttp.ClientSession() as client:
        for path in PATHS:
            for method in ("GET", "POST", "DELETE"):
                asked = client.request(
                    method, f"https://{MANAGER}{path}", ssl=context, data=b"{}",
                    server_hostname=SERVER_NAME,
                )  # fmt: skip
                async with asked as answer:
                    found[f"{method} {path}"] = answer.status
    return found


async def serve_as_manager():
    """Whether others would take this worker's certificate for a manager's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_own(context, ME.credentials)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        await renew([f"127.0.0.1:{port}"], ME.credentials)
    except Refusal as refusal:
        return str(refusal)
    finally:
        server.close()
    return "taken"


async def renewed():
    """Whose certificate we get, from a manager that may be busy."""
    while True:
        try:
            return subject_of((await renew([MANAGER], ME.credentials)).credentials.certificate)
        except Unavailable:
            await asyncio.sleep(1)


async def main():
    failed = TaskStatus(state=TaskState.FAILED, message="so says h2", timestamp=time.time() + 60)
    theirs = dict.fromkeys(TARGETS["tasks"], failed)
    subject = await renewed()
    told = {
        "tasks": await session(Status(tasks=theirs), awaited="box-h2"),
        "attachment": await session(
            Detach(task_id=TARGETS["attachment"]), awaited="doesn't belong to this node"
        ),
        "answers": await session(
            *(LogPiece(serial=each, data=b"lies", end=True) for each in range(50)),
            *(StateAnswer(serial=each, data=b"lies", end=True) for each in range(50)),
            awaited="box-h2",
        ),
        "tunnels": await session(
            awaited="is where the tunnels of h1 end", vtep=MANAGER.rpartition(":")[0]
        ),
        "http": await http(),
        "renewed": [subject.node_id, subject.role],
        "serving": await serve_as_manager(),
    }
    print(json.dumps(told))


asyncio.run(main())
