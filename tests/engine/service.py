"""A daemon that has nothing but the engine: ROOT RUNROOT SOCKET STATE. Ends orderly on SIGTERM."""

import asyncio
import signal
import sys

from skep.engine.podman import PodmanService
from skep.model.errors import Refusal


async def serve(places: list[str]) -> int:
    service = PodmanService(*places)
    try:
        await service.start()
    except Refusal as refused:
        print(f"refused {refused}", flush=True)
        return 1
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(f"ready {service.pid}", flush=True)
    await ended.wait()
    await service.stop()
    return 0


sys.exit(asyncio.run(serve(sys.argv[1:])))
