"""Where the page is served, and when."""

import asyncio
import hashlib
import socket
import ssl
import time

import aiohttp
import pytest
from aiohttp import web

from skep.gate import Gate, parsed
from skep.model.errors import Invalid
from skep.wire.authority import Authority, Subject, make_key_and_csr
from skep.wire.identity import Identity
from skep.wire.tls import Credentials

AUTHORITY = Authority.create(time.time())


def identity(role="manager"):
    key, csr = make_key_and_csr()
    subject = Subject(node_id="n" * 25, role=role, cluster_id="c" * 25)
    certificate = AUTHORITY.sign(csr, subject, days=1, now=time.time())
    credentials = Credentials(certificate=certificate, key=key, ca=AUTHORITY.certificate_pem)
    return Identity(credentials=credentials, address="192.0.2.9")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def app(guard):
    async def hello(_):
        return web.Response(text="the page")

    made = web.Application(middlewares=[guard.check])
    made.router.add_get("/{path:.*}", hello)
    return made


class Opened:
    """A gate at an address, closed in the end."""

    def __init__(self, tmp_path, address):
        self.gate = Gate(address, tmp_path / "page.token", app, "h1")
        self.kept = tmp_path / "page.token"

    async def __aenter__(self):
        await self.gate.start()
        return self

    async def __aexit__(self, *_):
        await self.gate.close()

    async def member(self, of):
        self.gate.member(of)
        await asyncio.gather(*self.gate._moving)

    async def get(self, url, **options):
        async with aiohttp.ClientSession() as session, session.get(url, **options) as got:
            return got.status, await got.text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("off", ("", 0)),
        ("127.0.0.1:99", ("127.0.0.1", 99)),
        ("192.0.2.1", ("192.0.2.1", 2378)),
        ("[::1]:80", ("::1", 80)),
        ("::1", ("::1", 2378)),
    ],
)
def test_addresses_are_read(text, found):
    assert parsed(text) == found


@pytest.mark.parametrize("text", ["", "eth0", "h1:80", "127.0.0.1:x", "1.2.3.4:99999"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Invalid):
        parsed(text)


async def test_on_loopback_it_is_there_from_the_start_without_a_token(tmp_path):
    port = free_port()
    async with Opened(tmp_path, f"127.0.0.1:{port}") as opened:
        told = opened.gate.address()
        assert (told.url, told.token) == (f"http://127.0.0.1:{port}/", "")
        assert await opened.get(told.url) == (200, "the page")
        await opened.member(identity())
        await opened.member(None)
        assert (await opened.get(told.url))[0] == 200
        assert not opened.kept.exists()


async def test_a_taken_port_stops_nothing_and_is_told(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with Opened(tmp_path, f"127.0.0.1:{port}") as opened:
            told = opened.gate.address()
            assert told.url == ""
            assert f"cannot use 127.0.0.1:{port}: " in told.why
            assert "in use" in told.why


async def test_off_is_off(tmp_path):
    async with Opened(tmp_path, "off") as opened:
        await opened.member(identity())
        assert opened.gate.address().why == "skepd was started with --page off"


async def test_elsewhere_it_takes_a_token_over_tls_while_the_host_is_a_manager(tmp_path):
    port = free_port()
    async with Opened(tmp_path, f"0.0.0.0:{port}") as opened:
        assert "while this host is a manager" in opened.gate.address().why
        await opened.member(identity("worker"))
        assert opened.gate.address().url == ""
        mine = identity()
        await opened.member(mine)
        told = opened.gate.address()
        assert told.url == f"https://192.0.2.9:{port}/", "its own address stands for all"
        assert opened.kept.read_text() == told.token and len(told.token) >= 32
        assert opened.kept.stat().st_mode & 0o777 == 0o600
        certificate = ssl.PEM_cert_to_DER_cert(mine.credentials.certificate)
        assert told.fingerprint == hashlib.sha256(certificate).hexdigest()
        pinned = aiohttp.Fingerprint(bytes.fromhex(told.fingerprint))
        here = f"https://127.0.0.1:{port}/"
        assert (await opened.get(here, ssl=pinned))[0] == 401
        assert (await opened.get(f"{here}?token=wrong", ssl=pinned))[0] == 401
        bearer = {"Authorization": f"Bearer {told.token}"}
        assert await opened.get(here, ssl=pinned, headers=bearer) == (200, "the page")
        with pytest.raises(aiohttp.ClientError):
            await opened.get(f"http://127.0.0.1:{port}/")
        await opened.member(None)
        with pytest.raises(aiohttp.ClientError):
            await opened.get(here, ssl=pinned)


async def test_the_token_outlives_the_daemon_and_certificates_are_renewed(tmp_path):
    port = free_port()
    async with Opened(tmp_path, f"0.0.0.0:{port}") as opened:
        await opened.member(identity())
        first = opened.gate.address()
        await opened.member(identity())
        second = opened.gate.address()
        assert first.fingerprint != second.fingerprint
        pinned = aiohttp.Fingerprint(bytes.fromhex(second.fingerprint))
        assert (await opened.get(f"https://127.0.0.1:{port}/", ssl=pinned))[0] == 401
    async with Opened(tmp_path, f"0.0.0.0:{port}") as opened:
        await opened.member(identity())
        assert opened.gate.address().token == first.token
