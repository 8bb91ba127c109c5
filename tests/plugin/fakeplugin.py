"""A plugin that answers what a test tells it to, over a unix socket."""

import asyncio
import contextlib
import json

from aiohttp import web


class FakePlugin:
    """``answers`` by call: what is sent as JSON, an aiohttp response, or a coroutine function that
    makes one of the request's body. ``asked`` are the calls with their bodies, as they came."""

    def __init__(self, path, **answers):
        self.path = path
        self.answers = {
            "Plugin.Activate": {"Implements": ["NetworkDriver", "IpamDriver"]},
            **{name.replace("__", "."): answer for name, answer in answers.items()},
        }
        self.asked = []
        self._runner = None

    @property
    def calls(self):
        return [call for call, _ in self.asked]

    def of(self, call):
        """The bodies of one call."""
        return [body for each, body in self.asked if each == call]

    async def start(self):
        app = web.Application()
        app.router.add_post("/{call}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        self.path.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self.path)).start()
        return self

    async def stop(self):
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request):
        said = await request.read()
        body = json.loads(said) if said else None
        call = request.match_info["call"]
        self.asked.append((call, body))
        found = self.answers.get(call, web.Response(status=404, text="404 page not found"))
        if callable(found):
            found = await found(body)
        if isinstance(found, web.Response):
            # One that is kept for the next time was not sent before.
            return web.Response(status=found.status, body=found.body, headers={
                "Content-Type": found.content_type})  # fmt: skip
        return web.json_response(found)


async def hang(_):
    """An answer that never comes."""
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def running(path, **answers):
    plugin = await FakePlugin(path, **answers).start()
    try:
        yield plugin
    finally:
        await plugin.stop()
