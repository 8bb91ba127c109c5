"""A host's side of the wire: joining a swarm, renewing its certificate, and its session."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp
import msgspec
from yarl import URL

from skep.model.errors import UNREADABLE, Broken, Forbidden, Invalid, Refusal, Unavailable
from skep.model.messages import FromAgent, FromManager, Hello
from skep.wire import calls
from skep.wire.authority import (
    SERVER_NAME,
    Subject,
    check_issued,
    digest,
    make_key_and_csr,
    subject_of,
    validity,
)
from skep.wire.calls import Admission, Candidate, JoinCall, RenewCall
from skep.wire.channel import MAX_FRAME, OF_AGENT, Channel
from skep.wire.knock import Address, until_heard
from skep.wire.tls import Credentials, blind_context, client_context
from skep.wire.tokens import Token, parse_token
from skep.wire.unreached import Silent, Unreachable, WrongAuthority, summary, unreachable

PORT = 2377
CALL_SECONDS = 5.0
"""For one request to one manager, connecting included."""
JOIN_SECONDS = 20.0
"""For all of joining, as in Docker."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts to get a session: doubled each time, up to the longest."""
FIRST_LIMIT = 1.0
"""Seconds for the first of such attempts: doubled each time, up to `CALL_SECONDS`. What a cut
swallowed of one is not sent again soon, while a new one may get through."""
LONGEST_SILENCE = 60.0
"""Seconds until managers are looked for anew of which none gives an answer: they may have moved."""

_encode = msgspec.msgpack.Encoder().encode
_message: msgspec.msgpack.Decoder[FromManager] = msgspec.msgpack.Decoder(FromManager)


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What a host has after joining or renewing.

    ``managers`` maps node ids to "host:port"; ``remote`` is the manager that answered; ``address``
    is this host's address as that manager knows it, and ``vtep`` where its tunnels are to end.
    """

    credentials: Credentials
    managers: dict[str, str]
    remote: str
    address: str
    vtep: str = ""

    @property
    def subject(self) -> Subject:
        """Who this host is now."""
        return subject_of(self.credentials.certificate)


async def join(remotes: Sequence[str], token: str, candidate: Candidate) -> Joined:
    """Join the swarm of ``token`` through the first of ``remotes`` ("host[:port]") that answers.

    Raises `Invalid` for a token that is none; `Forbidden` if a remote's CA is not the token's;
    whatever a manager refuses with; `Unavailable` if none can be reached, naming each and why.
    """
    parsed = parse_token(token)
    if not remotes:
        raise Invalid("at least 1 address of a manager is needed to join")
    failures: list[tuple[str, Refusal]] = []
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            for remote in remotes:
                try:
                    return await _join_through(remote, parsed, candidate)
                except (Unreachable, WrongAuthority) as failure:
                    failures.append((remote, failure))
    except TimeoutError:
        failures.append((remote, Unavailable(f"no answer within {JOIN_SECONDS:.0f} seconds")))
    raise summary(failures)


async def renew(remotes: Iterable[str], credentials: Credentials) -> Joined:
    """A new key and certificate for this host, from the first of ``remotes`` that answers.

    The old ones stay good until they expire. Raises like `join`.
    """
    key, csr = make_key_and_csr()
    failures: list[tuple[str, Refusal]] = []
    for remote in remotes:
        try:
            context = _own_context(credentials)
            body = await _call(remote, context, calls.RENEW_PATH, _encode(RenewCall(csr)))
        except Unreachable as failure:
            failures.append((remote, failure))
        else:
            return _admitted(remote, body, key, credentials.ca)
    raise summary(failures)


class AgentConnection:
    """One session with any of the cluster's managers, made anew whenever it is lost.

    Iterate over `messages` (once): that keeps it up. ``connected`` is set while there is a session;
    while there is none, ``problem`` says why in a sentence.
    """

    def __init__(
        self,
        credentials: Credentials,
        managers: Mapping[str, str],
        on_connect: Callable[[], Sequence[FromAgent]],
        rouse: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``managers`` maps node ids to "host:port". ``on_connect`` gives the messages that begin a
        session, `Hello` first. ``rouse`` is called with the host of each manager that gives no
        answer before it is tried again."""
        self._credentials = credentials
        self._managers = dict(managers)
        self._on_connect = on_connect
        self._rouse = rouse
        self._channel: Channel | None = None
        self._closed = asyncio.Event()
        self._unheard: set[str] = set()
        self._hint = ""
        self._woken = asyncio.Event()
        self._patience = asyncio.Lock()
        self.connected = asyncio.Event()
        self.problem = ""

    def update_managers(self, managers: Mapping[str, str]) -> None:
        """Where managers are from now on; a session that is up stays."""
        self._managers, self._hint = dict(managers), ""

    def hint(self, remote: str) -> None:
        """A manager may be at ``remote`` ("host:port"), too: tried while there is no session, until
        it is told where managers are."""
        if self._channel is None and remote != self._hint:
            self._hint = remote
            self._woken.set()

    async def again(self, reason: str) -> None:
        """Begin a new session, soon."""
        self._woken.set()
        if self._channel is not None:
            await self._channel.close(reason)

    def renewed(self, credentials: Credentials) -> None:
        """Use these credentials from the next session on."""
        self._credentials = credentials

    async def send(self, message: FromAgent) -> None:
        """Queue a message; never waits. Raises `Unavailable` if there is no session now (it is lost
        then: what matters is said again by ``on_connect``), `Broken` if it is over 1 MiB."""
        if self._channel is None:
            raise Unavailable(f"no manager can be reached: {self.problem or 'not connected yet'}")
        self._channel.send(_encode(message))

    async def send_patiently(self, message: FromAgent) -> None:
        """Send a message of which there are more than the session carries at once (logs): when all
        others have left, one such at a time. Raises as `send`."""
        async with self._patience:
            if self._channel is not None:
                await self._channel.drained()
            await self.send(message)

    async def messages(self) -> AsyncGenerator[FromManager, None]:
        """The managers' messages, through however many sessions, until `close`."""
        pause, limit = FIRST_PAUSE, FIRST_LIMIT
        while not self._closed.is_set():
            self._unheard.clear()
            for remote in self._shuffled():
                async with AsyncExitStack() as stack:
                    try:
                        channel = await self._connect(remote, stack, limit)
                    except Refusal as refusal:
                        self._failed(remote, refusal)
                        continue
                    if self._closed.is_set():
                        break
                    async for message in self._received(channel):
                        # A session that is ended at once is no success.
                        pause, limit = FIRST_PAUSE, FIRST_LIMIT
                        yield message
                    self.problem = f"{remote}: {channel.reason}"
                    if channel.silent:
                        self._unheard.add(remote)
                    break
            await self._rest(pause)
            pause, limit = min(LONGEST_PAUSE, 2 * pause), min(CALL_SECONDS, 2 * limit)

    async def close(self, reason: str = "the agent is stopping") -> None:
        """End the session and `messages`."""
        self._closed.set()
        if self._channel is not None:
            await self._channel.close(reason)

    def _shuffled(self) -> list[str]:
        """The managers in random order, so that agents spread over them."""
        remotes = sorted({*self._managers.values(), self._hint} - {""})
        if not remotes:
            self.problem = "no manager is known"
        return random.sample(remotes, len(remotes))

    def _failed(self, remote: str, refusal: Refusal) -> None:
        self.problem = f"{remote}: {refusal}"
        if isinstance(refusal, Silent):
            self._unheard.add(remote)

    async def _connect(self, remote: str, stack: AsyncExitStack, limit: float) -> Channel:
        """A session with ``remote``, begun; undone by ``stack``."""
        context = _own_context(self._credentials)
        http = await stack.enter_async_context(_http(context))
        try:
            async with asyncio.timeout(limit):
                websocket = await http.ws_connect(
                    _url(remote, calls.SESSION_PATH),
                    server_hostname=SERVER_NAME,
                    autoping=False,
                    max_msg_size=MAX_FRAME,
                )
        except aiohttp.WSServerHandshakeError as error:
            # It has no body here; a plain request gets the sentence.
            await _call(remote, context, calls.SESSION_PATH, None)
            raise Broken(f"the manager answered with HTTP status {error.status}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise unreachable(error, limit) from error
        channel = Channel(websocket, OF_AGENT)
        stack.push_async_callback(self._disconnected, channel)
        first = self._on_connect()
        assert first and isinstance(first[0], Hello), "a session begins with Hello"
        for message in first:
            channel.send(_encode(message))
        self._channel, self.problem = channel, ""
        self.connected.set()
        return channel

    async def _disconnected(self, channel: Channel) -> None:
        self._channel = None
        self.connected.clear()
        await channel.close("the agent ended the session")

    async def _received(self, channel: Channel) -> AsyncGenerator[FromManager, None]:
        while (data := await channel.receive()) is not None:
            try:
                message = _message.decode(data)
            except UNREADABLE as error:
                await channel.close(f"message not understood: {error}")
                return
            yield message

    async def _rest(self, pause: float) -> None:
        """Wait between half of ``pause`` and all of it: agents must not return in step. If no
        manager gave an answer, wait for as long as none does."""
        waiting: list[asyncio.Task[object]] = [
            asyncio.create_task(self._closed.wait()),
            asyncio.create_task(self._woken.wait()),
        ]
        limit: float | None = pause * random.uniform(0.5, 1.0)
        if self._unheard:
            known = [_address(remote) for remote in self._unheard]
            waiting.append(asyncio.create_task(until_heard(known, self._rouse)))
            if self._unheard >= set(self._managers.values()):
                limit = LONGEST_SILENCE
        try:
            await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._woken.clear()


async def _join_through(remote: str, token: Token, candidate: Candidate) -> Joined:
    ca = (await _call(remote, blind_context(), calls.CA_PATH, None)).decode("ascii", "replace")
    try:
        actual = digest(ca)
    except Invalid:
        raise WrongAuthority("what answers there is not a manager of a swarm") from None
    if not token.is_for(ca):
        raise WrongAuthority(
            f"remote CA does not match fingerprint. Expected: {token.digest}, Actual: {actual}"
        )
    key, csr = make_key_and_csr()
    call = JoinCall(token.secret, csr, candidate)
    body = await _call(remote, client_context(ca), calls.JOIN_PATH, _encode(call))
    return _admitted(remote, body, key, ca)


def _admitted(remote: str, body: bytes, key: str, ca: str) -> Joined:
    try:
        admission = msgspec.msgpack.decode(body, type=Admission)
        check_issued(admission.certificate, key, ca)
        subject_of(admission.certificate)
    except (*UNREADABLE, Invalid) as error:
        raise Broken(f"the manager {remote} gave an unusable answer: {error}") from error
    return Joined(
        credentials=Credentials(certificate=admission.certificate, key=key, ca=ca),
        managers=admission.managers,
        remote=remote,
        address=admission.address,
        vtep=admission.vtep,
    )


async def _call(remote: str, context: ssl.SSLContext, path: str, body: bytes | None) -> bytes:
    """One request: POST with a body, else GET. Raises `Unreachable`, or what the manager says."""
    try:
        async with (
            asyncio.timeout(CALL_SECONDS),
            _http(context) as http,
            http.request(
                "GET" if body is None else "POST",
                _url(remote, path),
                data=body,
                server_hostname=SERVER_NAME if context.check_hostname else None,
                allow_redirects=False,
            ) as response,
        ):
            reply = await calls.whole(response.content)
            if response.status == 200:
                return reply
            raise calls.refusal_of(response.status, reply)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise unreachable(error, CALL_SECONDS) from error


def _own_context(credentials: Credentials) -> ssl.SSLContext:
    """Raises `Forbidden` once the certificate has expired: a manager would just hang up."""
    if validity(credentials.certificate).end < time.time():
        raise Forbidden(
            "this host's certificate has expired; leave the swarm by force and join it again"
        )
    return client_context(credentials.ca, credentials)


def _http(context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),  # its own would count a session's whole life
    )


def _url(remote: str, path: str) -> str:
    bare = remote.startswith("[") and remote.endswith("]")
    if bare or ":" not in remote:
        return f"https://{remote}:{PORT}{path}"
    if remote.count(":") > 1 and not remote.startswith("["):
        return f"https://[{remote}]:{PORT}{path}"
    return f"https://{remote}{path}"


def _address(remote: str) -> Address:
    url = URL(_url(remote, "/"))
    assert url.host is not None and url.port is not None, "made with both"
    return url.host, url.port
