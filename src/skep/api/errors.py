"""The one place where the tree of refusals becomes HTTP, and an engine's answer a refusal."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from skep.model.errors import (
    Broken,
    Clash,
    Forbidden,
    Invalid,
    Missing,
    Refusal,
    Unavailable,
    Unsupported,
)

BY_STATUS: dict[int, type[Refusal]] = {
    kind.status: kind for kind in (Invalid, Forbidden, Missing, Clash, Unsupported, Unavailable)
}
"""How an engine's status is understood; every other one is `Broken`."""

PAGE_NOT_FOUND = "page not found"
INTERNAL = "internal error: the request failed for a reason that is ours; see the daemon's log"


def answer(refused: Refusal) -> web.Response:
    """A refusal as clients read it: ``{"message": …}`` with its status."""
    return said(refused.status, str(refused))


def said(status: int, message: str) -> web.Response:
    """One sentence with a status."""
    return web.Response(
        status=status,
        body=msgspec.json.encode({"message": message}),
        content_type="application/json",
    )


def refusal_of(status: int, body: Any) -> Refusal:
    """What an engine's error answer (status, decoded body) means."""
    message = body.get("message") if isinstance(body, dict) else None
    kind = BY_STATUS.get(status, Broken)
    return kind(message or f"the container engine answered with status {status}")


def not_manager(unavailable: Unavailable) -> Forbidden:
    """Docker's status for making an overlay network on a host that is no manager: same sentence."""
    return Forbidden(str(unavailable))


__all__ = ["INTERNAL", "PAGE_NOT_FOUND", "answer", "not_manager", "refusal_of", "said"]
