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


async def build(call: Call) -> NoReturn:  # noqa: ARG001
    """``POST /build`` and the session it needs: refused."""
    raise Unsupported(
        "building images is not supported by Skep: build elsewhere and use docker load"
    )


async def prune_builds(call: Call) -> web.StreamResponse:  # noqa: ARG001
    """``POST /build/prune``: there is no build cache."""
    return json({"CachesDeleted": [], "SpaceReclaimed": 0})


async def commit(call: Call) -> NoReturn:  # noqa: ARG001
    """``POST /commit``: refused."""
    raise Unsupported("making images of containers is not supported by this version of Skep")


async def registry_login(call: Call) -> NoReturn:  # noqa: ARG001
    """``POST /auth``: refused."""
    raise Unsupported("logging in to a registry is not supported by this version of Skep")


async def search(call: Call) -> NoReturn:  # noqa: ARG001
    """``GET /images/search``: refused."""
    raise Unsupported("searching a registry is not supported by this version of Skep")


async def push(call: Call) -> NoReturn:  # noqa: ARG001
    """``POST /images/{name}/push``: refused."""
    raise Unsupported("pushing images to a registry is not supported by this version of Skep")
