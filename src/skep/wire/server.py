"""A manager's endpoint for hosts: the CA and joining for anyone, all else by certificate.

It decides nothing: `Hooks` say who may join, sign, and live with the sessions. What it does is to
make sure that they only ever hear of peers whose certificate is the cluster's, and who behave.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from skep.door import LOG, Door, listening_at
from skep.model.errors import UNREADABLE, Broken, Forbidden, Invalid, Refusal, Unavailable
from skep.model.messages import FromAgent, FromManager, Hello
from skep.wire import calls
from skep.wire.attempts import Attempts
from skep.wire.authority import Subject, subject_of
from skep.wire.calls import Admission, JoinCall, RenewCall
from skep.wire.channel import MAX_FRAME, OF_MANAGER, Channel
from skep.wire.tls import Credentials, load_own, server_context

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds for the request, then for its body or the first message."""
MSGPACK = "application/msgpack"

_encode = msgspec.msgpack.Encoder().encode
_message: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hooks(Protocol):
    """What the endpoint asks of the manager. Each may raise any refusal, which the peer is told."""

    async def join(self, call: JoinCall, address: str) -> Admission:
        """Admit the host that calls from IP ``address``; raise `Forbidden` or `Invalid` if not."""

    async def renew(self, subject: Subject, csr: str) -> Admission:
        """A new certificate for a node of the cluster."""

    async def session(self, session: Session) -> None:
        """Live with an agent's session; it is closed when this returns or raises."""

    def revoked(self, node_id: str) -> bool:
        """Was the node removed? (Its certificate may still be good for months.)"""


class Session:
    """An agent's session. Iterating gives its messages after `hello`, until the session ends."""

    def __init__(self, channel: Channel, subject: Subject, address: str) -> None:
        """Made by the endpoint. ``address`` is the peer's IP address."""
        self._channel = channel
        self.node_id = subject.node_id
        self.role = subject.role
        self.address = address
        self.hello: Hello

    @property
    def reason(self) -> str:
        """Why the session has ended, "" while it has not."""
        return self._channel.reason

    @property
    def silent(self) -> bool:
        """Whether it ended because nothing was heard: the host, not just its daemon, is gone."""
        return self._channel.silent

    async def send(self, message: FromManager) -> None:
        """Queue a message; never waits for the agent. Raises `Unavailable` if the session has
        ended, or ends now because the agent is too slow; `Broken` if it is over 64 MiB."""
        self._channel.send(_encode(message))

    async def close(self, reason: str) -> None:
        """Send what is queued, end the session, and tell the agent why."""
        await self._channel.close(reason)

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> FromAgent:
        data = await self._channel.receive()
        if data is None:
            raise StopAsyncIteration
        try:
            return _message.decode(data)
        except UNREADABLE as error:
            await self._channel.close(f"message not understood: {error}")
            raise StopAsyncIteration from error

    async def greet(self) -> bool:
        """Wait for the agent's `Hello`; False if none came in time. Called by the endpoint."""
        try:
            async with asyncio.timeout(PATIENCE):
                first = await anext(self, None)
        except TimeoutError:
            first = None
        if not isinstance(first, Hello):
            await self.close("the first message was not Hello")
            return False
        self.hello = first
        return True


class Endpoint:
    """The mTLS server of one manager."""

    def __init__(self, credentials: Credentials, hooks: Hooks) -> None:
        self._credentials = credentials
        self._hooks = hooks
        self._cluster_id = subject_of(credentials.certificate).cluster_id
        self._context = server_context(credentials)
        self._attempts = Attempts()
        self._sessions: set[Session] = set()
        self._door = Door()
        self._port = 0
        application = web.Application(client_max_size=calls.MAX_CALL)
        application.router.add_get(calls.CA_PATH, self._answer_ca)
        application.router.add_post(calls.JOIN_PATH, _refusing(self._answer_join))
        application.router.add_post(calls.RENEW_PATH, _refusing(self._answer_renew))
        application.router.add_get(calls.SESSION_PATH, _refusing(self._answer_session))
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=LOG,
            keepalive_timeout=PATIENCE,  # counts before the first request, too
            lingering_time=0,  # a body that was not worth reading is not waited for, either
            shutdown_timeout=PATIENCE,
        )

    @property
    def port(self) -> int:
        """The TCP port it listens on, once started."""
        assert self._port, "not started"
        return self._port

    async def start(self, address: str, port: int) -> None:
        """Listen on an IP address ("::": on all, of both families; port 0: any free one). Raises
        `Unavailable` if that fails."""
        await self._runner.setup()
        assert self._runner.server is not None
        try:
            listener = listening_at(address, port)
        except OSError as error:
            await self._runner.cleanup()
            raise Unavailable(f"cannot listen on {address}:{port}: {error.strerror}") from error
        self._port = listener.getsockname()[1]
        self._door.open(self._runner.server, listener, self._context)

    def renewed(self, credentials: Credentials) -> None:
        """Show a renewed certificate of the same CA from the next handshake on."""
        assert credentials.ca == self._credentials.ca, "another CA takes another endpoint"
        load_own(self._context, credentials)
        self._credentials = credentials

    async def close(self, reason: str = "the manager is stopping") -> None:
        """Stop listening and end all sessions."""
        await self._door.close()
        await asyncio.gather(*(session.close(reason) for session in self._sessions))
        await self._runner.cleanup()

    async def _answer_ca(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self._credentials.ca, content_type="application/x-pem-file")

    async def _answer_join(self, request: web.Request) -> web.StreamResponse:
        address, now = _address_of(request), time.monotonic()
        if wait := self._attempts.wait(address, now):
            raise Unavailable(
                f"too many failed attempts to join from {address}; try again in {wait:.0f} seconds"
            )
        try:
            call = await _body(request, JoinCall)
            admission = await self._hooks.join(call, address)
        except (Invalid, Forbidden):
            self._attempts.failed(address, now)
            raise
        return web.Response(body=_encode(admission), content_type=MSGPACK)

    async def _answer_renew(self, request: web.Request) -> web.StreamResponse:
        subject = self._member(request)
        call = await _body(request, RenewCall)
        admission = await self._hooks.renew(subject, call.csr)
        return web.Response(body=_encode(admission), content_type=MSGPACK)

    async def _answer_session(self, request: web.Request) -> web.StreamResponse:
        subject = self._member(request)
        with self._door.keeping(request):
            return await self._live(request, subject)

    async def _live(self, request: web.Request, subject: Subject) -> web.StreamResponse:
        websocket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=MAX_FRAME, timeout=PATIENCE
        )
        await websocket.prepare(request)
        session = Session(Channel(websocket, OF_MANAGER), subject, _address_of(request))
        self._sessions.add(session)
        reason = "the manager ended the session"
        try:
            if await session.greet():
                await self._hooks.session(session)
        except Refusal as refusal:
            reason = str(refusal)
        finally:
            self._sessions.discard(session)
            await session.close(reason)
        return websocket

    def _member(self, request: web.Request) -> Subject:
        """Who calls, by the certificate that TLS has checked against the CA. Raises `Forbidden`."""
        transport = request.transport
        if transport is None:
            raise Unavailable("the connection is gone")
        der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if der is None:
            raise Forbidden("this needs a certificate of the cluster")
        try:
            subject = subject_of(der)
        except Invalid as error:
            raise Forbidden(str(error)) from error
        if subject.cluster_id != self._cluster_id:
            raise Forbidden("the certificate is of another cluster")
        if self._hooks.revoked(subject.node_id):
            raise Forbidden(f"node {subject.node_id} was removed from the swarm")
        return subject


def _refusing(handler: _Handler) -> _Handler:
    """Let refusals out as answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            body = _encode(calls.RefusalReply(str(refusal)))
            return web.Response(status=refusal.status, body=body, content_type=MSGPACK)

    return answer


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        async with asyncio.timeout(PATIENCE):
            data = await request.read()
    except TimeoutError:
        raise Invalid("the request did not arrive in time") from None
    except web.HTTPRequestEntityTooLarge:
        raise Invalid(f"the request is larger than {calls.MAX_CALL} bytes") from None
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except UNREADABLE as error:
        raise Invalid(f"the request was not understood: {error}") from error


def _address_of(request: web.Request) -> str:
    if request.remote is None:
        raise Broken("the peer has no address")
    # So the kernel writes an IPv4 address at a socket that listens for both families.
    return request.remote.removeprefix("::ffff:")
