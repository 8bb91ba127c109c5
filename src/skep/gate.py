"""Where the page is served: a socket of its own, for browsers.

On a loopback address it is plain HTTP, open to everybody on the host, from skepd's start on. On any
other it is HTTPS with the host's certificate, takes a token, and is there while the host is a
manager. A socket that cannot be opened is told of, and stops nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog
from aiohttp import web

from skep.advertise import split
from skep.agent.statefile import write_atomically
from skep.api.guard import Guard
from skep.api.ports import PageAddress
from skep.api.server import Service
from skep.door import listening_at
from skep.model.errors import Invalid
from skep.wire.identity import Identity
from skep.wire.tls import load_own, server_context

PORT = 2378
DEFAULT = f"127.0.0.1:{PORT}"
OFF = "off"
TOKEN_BYTES = 24
TOKEN_LENGTH = 32
"""Characters that so many bytes take in base64."""

NOT_YET = "on an address that is not loopback it is served while this host is a manager of a swarm"

log = structlog.get_logger("skep.page")


class Gate:
    """The page's socket at ``address`` ("ip:port" or "off"). ``make_app`` makes what is served,
    past a guard; the token is kept in the file ``kept``, readable by root alone.

    Raises `Invalid` if the address is none.
    """

    def __init__(self, address: str, kept: Path, make_app: Callable[[Guard], web.Application],
                 hostname: str) -> None:  # fmt: skip
        self._host, self._port = parsed(address)
        self._kept = kept
        self._make_app = make_app
        self._hostname = hostname
        self._service: Service | None = None
        self._context: ssl.SSLContext | None = None
        self._identity: Identity | None = None
        self._turn = asyncio.Lock()
        self._moving: set[asyncio.Task[None]] = set()
        self._why = f"skepd was started with --page {OFF}" if not self._host else NOT_YET

    @property
    def _guarded(self) -> bool:
        return not ipaddress.ip_address(self._host).is_loopback

    def address(self) -> PageAddress:
        """Where it is served."""
        if self._service is None:
            return PageAddress(why=self._why)
        if not self._guarded:
            return PageAddress(url=self._url("http", self._host))
        assert self._identity is not None, "it is only served with an identity"
        shown = self._host
        if ipaddress.ip_address(shown).is_unspecified:
            shown = self._identity.address
        certificate = ssl.PEM_cert_to_DER_cert(self._identity.credentials.certificate)
        return PageAddress(
            url=self._url("https", shown),
            token=self._token(),
            fingerprint=hashlib.sha256(certificate).hexdigest(),
        )

    def _url(self, scheme: str, host: str) -> str:
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}/"

    async def start(self) -> None:
        """Serve, if that is already possible."""
        if self._host and not self._guarded:
            await self._open(Guard(names=[self._hostname]), None)

    def member(self, identity: Identity | None) -> None:
        """The host's identity is this from now on; None: it is in no swarm."""
        if not self._host or not self._guarded:
            return
        task = asyncio.create_task(self._follow(identity))
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)

    async def _follow(self, identity: Identity | None) -> None:
        async with self._turn:
            self._identity = identity
            if identity is None or identity.subject.role != "manager":
                self._why = NOT_YET
                await self._close()
            elif self._context is not None:
                load_own(self._context, identity.credentials)
            else:
                context = server_context(identity.credentials)
                # A browser would ask its user which certificate to show.
                context.verify_mode = ssl.CERT_NONE
                guard = Guard(self._token(), [self._hostname])
                await self._open(guard, context)

    async def _open(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        try:
            listener = listening_at(self._host, self._port)
        except OSError as error:
            self._why = f"cannot use {self._host}:{self._port}: {error.strerror or error}"
            log.warning("the page is not served", why=self._why)
            return
        self._service, self._context = Service(self._make_app(guard)), context
        await self._service.open(listener, context)

    async def close(self) -> None:
        """Serve no more."""
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        service, self._service, self._context = self._service, None, None
        if service is not None:
            await service.close()

    def _token(self) -> str:
        """The token, made when it is first needed, and anew if its file is damaged. Raises
        `Broken` if it cannot be kept."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            kept = self._kept.read_text()
            if len(kept) == TOKEN_LENGTH:
                return kept
        made = secrets.token_urlsafe(TOKEN_BYTES)
        write_atomically(self._kept, made.encode())
        return made


def parsed(address: str) -> tuple[str, int]:
    """IP address ("" for off) and port. Raises `Invalid`."""
    if address == OFF:
        return "", 0
    host, port = address, PORT
    try:
        # A bare IPv6 address has colons, and no port behind any of them.
        if address.count(":") < 2 or address.startswith("["):
            host, port = split(address, PORT)
        ipaddress.ip_address(host)
    except ValueError:
        raise Invalid(
            f'"{address}" is no address to serve the page on: say IP:PORT, IP, or {OFF}'
        ) from None
    return host, port
