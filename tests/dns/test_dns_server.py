"""The real process, real namespaces, real queries."""

import os
import signal
import socket

import dns.flags
import dns.message
import dns.rcode
import pytest
from conftest import box, found, table, until

from skep.dns import frames
from skep.model.errors import Unavailable
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.names.change import TableChange

pytestmark = pytest.mark.root

REDIRECT = f"""
table ip skep {{
    chain output {{
        type nat hook output priority -100
        ip daddr {RESOLVER} udp dport 53 dnat to {RESOLVER}:{RESOLVER_PORT}
        ip daddr {RESOLVER} tcp dport 53 dnat to {RESOLVER}:{RESOLVER_PORT}
    }}
}}
"""


@pytest.mark.parametrize("tcp", [False, True])
async def test_names_are_answered_in_every_sandbox(rig, tcp):
    rig.namespace("one")
    rig.namespace("two")
    rig.server()
    client = await rig.client()
    names = table(box("one"), box("two"), web="10.0.1.2")
    assert await client.sync(names) == {}
    for name in ("one", "two"):
        for _ in range(2):  # the second one is a kept answer
            message = await rig.ask(name, "WEB.net", tcp=tcp)
            assert found(message) == ["10.0.1.2"]
            assert message.question[0].name.to_text() == "WEB.net."
    pointer = await rig.ask("one", "2.1.0.10.in-addr.arpa", "PTR", tcp=tcp)
    assert pointer.answer[0][0].to_text() == "web.net."
    assert not (await rig.ask("one", "web", "AAAA", tcp=tcp)).answer
    await client.close()


async def test_answers_change_as_the_table_does(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.sync(table(box("one"), web="10.0.1.3 10.0.1.4"))
    assert await rig.addresses("one", "web") == ["10.0.1.3", "10.0.1.4"]
    await client.sync(table(box("one", forward=False), other="10.0.1.3"))
    assert (await rig.ask("one", "web")).rcode() == dns.rcode.NXDOMAIN
    await client.close()


async def test_several_addresses_come_in_changing_order(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2 10.0.1.3"))
    firsts = set()

    async def both():
        firsts.add((await rig.ask("one", "web")).answer[0][0].address)
        return len(firsts) == 2

    await until(both)
    await client.close()


async def test_long_answers_over_udp_and_tcp(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web=" ".join(f"10.0.1.{n}" for n in range(200))))
    short = await rig.ask("one", "web", use_edns=False)
    assert short.flags & dns.flags.TC
    assert 20 < len(found(short)) < 40
    assert len(await rig.addresses("one", "web", use_edns=0, payload=4000)) == 200
    assert len(await rig.addresses("one", "web", tcp=True)) == 200
    await client.close()


async def test_port_53_by_busybox(rig):
    rig.namespace("one")
    rig.run("one", "nft", "-f", "-", input=REDIRECT)
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    for question, said in (("web", "10.0.1.2"), ("10.0.1.2", "web.net")):
        output = rig.run("one", "busybox", "nslookup", question, RESOLVER).stdout
        assert said in output.partition("\n\n")[2], output
    assert found(await rig.ask("one", "web", tcp=True, port=53)) == ["10.0.1.2"]
    await client.close()


async def test_names_outlive_the_client_and_the_next_one_replaces_them(rig):
    rig.namespace("one")
    rig.server()
    first = await rig.client()
    await first.sync(table(box("one"), web="10.0.1.2", old="10.0.1.9"))
    await first.close()
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    second = await rig.client()
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await second.sync(table(box("one", forward=False), web="10.0.1.3"))
    assert await rig.addresses("one", "web") == ["10.0.1.3"]
    assert (await rig.ask("one", "old")).rcode() == dns.rcode.NXDOMAIN
    await second.close()


async def test_of_two_clients_the_last_one_rules_and_both_get_their_way(rig):
    rig.namespace("one")
    rig.server()
    first, second = await rig.client(), await rig.client()
    await first.sync(table(box("one"), web="10.0.1.2", a="10.0.1.9"))
    await second.sync(table(box("one"), web="10.0.1.3", b="10.0.1.9"))
    # A difference to what the first one gave would leave the second one's names in force.
    await first.sync(table(box("one", forward=False), web="10.0.1.4", a="10.0.1.9"))
    assert await rig.addresses("one", "web") == ["10.0.1.4"]
    assert (await rig.ask("one", "b")).rcode() == dns.rcode.NXDOMAIN
    await first.close()
    await second.close()


async def test_a_replaced_namespace_is_followed(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    names = table(box("one"), web="10.0.1.2")
    await client.sync(names)
    rig.namespace_gone("one")
    rig.namespace("one")
    assert await client.sync(names) == {}
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.close()


async def test_a_replaced_namespace_is_followed_without_being_told(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    rig.namespace_gone("one")
    rig.namespace("one")
    await until(lambda: rig.listens("one"))
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.close()


async def test_a_namespace_that_goes_is_not_kept_alive(rig):
    rig.namespace("one")
    server = rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    before = descriptors(server)
    rig.namespace_gone("one")
    await until(lambda: descriptors(server) == before - 2)
    await client.close()


async def test_a_missing_namespace_is_a_fault_until_it_comes(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    names = table(box("one"), box("two"), web="10.0.1.2")
    faults = await client.sync(names)
    assert list(faults) == ["two"]
    assert "No such file or directory" in faults["two"]
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    rig.namespace("two")
    await until(lambda: rig.listens("two"))
    assert await client.sync(names) == {}
    await client.close()


async def test_a_sandbox_that_left_the_table_is_not_answered(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    assert rig.listens("one")
    await client.sync(table(web="10.0.1.2"))
    assert not rig.listens("one")
    await client.close()


async def test_noise_changes_nothing(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))

    def noise():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for size in (0, 1, 11, 12, 13, 17, 600, 5000):
                sock.sendto(bytes(size), (RESOLVER, RESOLVER_PORT))
                sock.sendto(b"\xff" * size, (RESOLVER, RESOLVER_PORT))

    await rig.thread.run(rig.path("one"), noise)
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.close()


async def test_a_tcp_client_may_ask_several_times_at_once_and_byte_by_byte(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    sock = await rig.connect("one")
    data = dns.message.make_query("web", "A").to_wire()
    framed = len(data).to_bytes(2, "big") + data
    sock.sendall(framed * 2)
    for byte in framed:
        sock.sendall(bytes([byte]))
    for _ in range(3):
        message = dns.message.from_wire(received(sock))
        assert found(message) == ["10.0.1.2"]
    await client.close()


async def test_tcp_clients_are_bounded_and_their_end_makes_room(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    held = [await rig.connect("one") for _ in range(32)]
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    one_more = await rig.connect("one")
    assert closed(one_more)
    for sock in held:
        sock.close()
    await until(lambda: answers_over_tcp(rig))
    await client.close()


async def test_a_question_that_is_too_long_ends_the_connection(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    sock = await rig.connect("one")
    sock.sendall(b"\xff\xff" + bytes(100))
    assert closed(sock)
    await client.close()


async def test_noise_on_the_control_socket_ends_that_connection_alone(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    for noise in (b"\xff" * 8, b"\0\0\0\4noise", frames.pack(frames.Stale(serial=1))):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(str(rig.control))
            sock.sendall(noise)
            assert sock.recv(1) == b""
    await client.ping()
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.close()


async def test_a_change_without_a_table_before_it_is_stale(rig):
    rig.server()
    await (await rig.client()).close()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(rig.control))
        sock.sendall(frames.pack(frames.Amend(serial=3, change=TableChange())))
        assert frames.ANSWERS.decode(sock.recv(4096)[4:]) == frames.Stale(serial=3)


async def test_sigterm_ends_it_cleanly(rig):
    rig.namespace("one")
    server = rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), web="10.0.1.2"))
    server.send_signal(signal.SIGTERM)
    await client.wait_lost()
    await until(lambda: server.poll() is not None)
    assert server.returncode == 0
    output = server.stdout.read().decode()
    assert "Traceback" not in output, output
    assert not rig.control.exists()
    with pytest.raises(Unavailable):
        await client.sync(table())
    await client.close()


async def test_a_second_server_is_told_off_in_one_line(rig):
    rig.server()
    client = await rig.client()
    second = rig.server()
    await until(lambda: second.poll() is not None)
    assert second.returncode == 1
    assert second.stdout.read().decode() == (
        f"skep-dns: {rig.control} is in use by another skep-dns\n"
    )
    await client.ping()
    await client.close()


async def test_the_control_socket_is_its_owners_alone(rig):
    rig.server()
    await (await rig.client()).close()
    assert os.stat(rig.control).st_mode & 0o777 == 0o600


async def answers_over_tcp(rig):
    try:
        return found(await rig.ask("one", "web", tcp=True))
    except (OSError, EOFError):
        return False


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def closed(sock):
    """Whether the server ended the connection, and not for idleness, which takes longer."""
    sock.settimeout(5)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def received(sock):
    length = int.from_bytes(exactly(sock, 2), "big")
    return exactly(sock, length)


def exactly(sock, size):
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data
