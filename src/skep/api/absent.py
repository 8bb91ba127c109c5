"""What Docker has and this version of Skep has not: refusals in clear sentences, and empty lists
where clients ask before they do something else."""

from __future__ import annotations

from typing import NoReturn

from aiohttp import web

from skep.api.call import Call, json
from skep.model.errors import Missing, Unsupported


async def no_plugins(call: Call) -> web.StreamResponse:  # noqa: ARG001 - a handler's signature
    """``GET /plugins``: none."""
    return json([])


async def missing_plugin(call: Call) -> web.StreamResponse:
    """``GET /plugins/{name}/json``: there are none."""
    raise Missing(f'plugin "{call.parts["name"]}" not found')


async def install_plugin(call: Call) -> NoReturn:  # noqa: ARG001
    """``POST /plugins/pull``: refused."""
    raise Unsupported("plugins are not supported by this version of Skep")
