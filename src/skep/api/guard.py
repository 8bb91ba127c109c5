"""Who may see the page: on a loopback address everybody there, else who shows the token; and
nobody through somebody else's page.

A page of some other site can make a browser ask us, under a name of its own that it has made to
mean our address (DNS rebinding), and read what we answer. So we answer to addresses, which nobody
can make mean something else, and to names that we know.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Collection
from http.cookies import SimpleCookie

from aiohttp import web

from skep.api import errors

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "skep-page"
"""The token, as a browser brings it back."""
MISDIRECTED = 421
STRANGE_NAME = "this name is not known here: open the page by its address, as skep page prints it"
NO_TOKEN = "open the address that skep page prints on the host: it has a token in it"
READS_ONLY = "the page only looks"


class Guard:
    """``token`` is "" where everybody is welcome. ``names`` are those that we go by, beside
    localhost and addresses."""

    def __init__(self, token: str = "", names: Collection[str] = ()) -> None:
        self._token = token
        self._names = {"localhost", *(name.lower() for name in names if name)}

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._check(request, handler)

        self.check = check

    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "GET":
            return errors.said(405, READS_ONLY)
        if not self.knows(request.host):
            return errors.said(MISDIRECTED, STRANGE_NAME)
        if not self._token:
            return await handler(request)
        given = request.query.get("token", "")
        if given and self._is_token(given):
            return self._welcome(request)
        if self._is_token(_brought(request)):
            return await handler(request)
        return errors.said(401, NO_TOKEN)

    def knows(self, host: str) -> bool:
        """Whether a Host header (with or without a port) is one that we go by."""
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _welcome(self, request: web.Request) -> web.Response:
        """Take the token out of the address bar, and have the browser bring it along instead."""
        response = web.Response(status=303, headers={"Location": request.path})
        response.set_cookie(
            COOKIE, self._token, path="/", httponly=True, samesite="Strict",
            secure=request.scheme == "https",
        )  # fmt: skip
        return response


def _brought(request: web.Request) -> str:
    """The token in a request's header or cookie."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    cookies: SimpleCookie = SimpleCookie()
    cookies.load(request.headers.get("Cookie", ""))
    return cookies[COOKIE].value if COOKIE in cookies else ""
