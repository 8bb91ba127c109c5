from __future__ import annotations

import errno
import struct

import pytest

from skep.kernel.rtnetlink import inet, links, neighbours, socket
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import CHUNK, Refused, Socket


@pytest.fixture
def opened():
    made = Socket()
    yield made
    made.close()


def test_attributes_are_packed_and_found():
    packed = nl.text(3, "eth0") + nl.nested(18, nl.number(1, 5), nl.mac(2, "02:42:0a:00:00:05"))
    found = nl.attributes(b"head" + packed, 4)
    assert nl.as_text(found[3]) == "eth0"
    inner = nl.attributes(found[18], 0)
    assert nl.as_number(inner[1]) == 5
    assert nl.as_mac(inner[2]) == "02:42:0a:00:00:05"
    assert len(packed) % 4 == 0


@pytest.mark.parametrize("wrong", ["", "10.0.0", "10.0.0.256", "fd00:1", "10.0.0.1/8"])
def test_addresses_that_are_none(wrong):
    with pytest.raises(ValueError, match="is not an IP address"):
        nl.ip(1, wrong)


@pytest.mark.parametrize("wrong", ["", "02:42:0a:00:00", "02:42:0a:00:00:00:00", "xx:42:0a:0:0:0"])
def test_mac_addresses_that_are_none(wrong):
    with pytest.raises(ValueError):
        nl.mac(1, wrong)


def test_the_kernels_words_are_part_of_a_refusal():
    error = (-errno.EINVAL).to_bytes(4, "little", signed=True)
    body = error + bytes(nl.HEADER.size) + nl.text(socket.EXT_ACK_TEXT, "No, thanks.")
    read = socket.refusal(Message(nl.MESSAGE_ERROR, body), nl.ACK_TLVS | nl.CAPPED)
    assert read == Refused(errno.EINVAL, "No, thanks.")
    assert read.sentence == "Invalid argument (No, thanks)"
    silent = socket.refusal(Message(nl.MESSAGE_ERROR, body), nl.CAPPED)
    assert silent is not None
    assert silent.sentence == "Invalid argument"
    done = error + nl.text(socket.EXT_ACK_TEXT, "Late")
    assert socket.refusal(Message(nl.MESSAGE_DONE, done), nl.ACK_TLVS) == Refused(22, "Late")
    assert socket.refusal(Message(nl.MESSAGE_DONE, bytes(4)), 0) is None


def test_each_question_of_many_gets_its_own_answer(opened):
    names = ["lo", "nix"] * CHUNK
    answers = opened.ask([links.get(name) for name in names])
    assert len(answers) == 2 * CHUNK
    for name, answer in zip(names, answers, strict=True):
        if name == "lo":
            assert links.parse(answer).name == "lo"
        else:
            assert answer.errno == errno.ENODEV


def test_a_refused_dump_is_an_error_and_the_socket_goes_on(opened):
    with pytest.raises(OSError, match="Operation not supported"):
        opened.dump(Request(1022, 0, bytes(16)))
    assert links.parse(opened.dump(links.get_all())[0]).name == "lo"


def test_a_kernel_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(socket, "TIMEOUT", struct.pack("@ll", 0, 1000))
    hasty = Socket()
    try:
        with pytest.raises(BlockingIOError):
            hasty.dump(Request(links.GETLINK, 0, b""))
    finally:
        hasty.close()


def test_a_disturbed_dump_is_made_again(opened, monkeypatch):
    results = [([], True), ([], True), (["final"], False), (["too late"], False)]
    monkeypatch.setattr(opened, "_dump_once", lambda _: results.pop(0))
    assert opened.dump(links.get_all()) == ["final"]
    disturbed = [(n, True) for n in range(socket.DUMP_ATTEMPTS)]
    monkeypatch.setattr(opened, "_dump_once", lambda _: disturbed.pop(0))
    assert opened.dump(links.get_all()) == socket.DUMP_ATTEMPTS - 1


def test_interruption_is_a_flag_on_any_message(opened, monkeypatch):
    first = opened._sequence
    received = [
        (Message(links.NEWLINK, b"stale"), nl.INTERRUPTED, first - 1),
        (Message(links.NEWLINK, b"one"), 0, first),
        (Message(links.NEWLINK, b"two"), nl.INTERRUPTED, first),
        (Message(nl.MESSAGE_DONE, bytes(4)), 0, first),
    ]
    monkeypatch.setattr(opened, "_received", lambda: iter(received))
    found, interrupted = opened._dump_once(links.get_all())
    assert [each.body for each in found] == [b"one", b"two"]
    assert interrupted


def test_sequence_numbers_start_again_before_they_run_out(opened):
    opened._sequence = socket.SEQUENCE_LIMIT
    (answer,) = opened.ask([links.get("lo")])
    assert isinstance(answer, Message)
    assert opened._sequence == 2


def test_messages_of_links_that_are_not_asked_for_are_passed_over():
    request = inet.add_address(inet.Address("x", "10.0.0.1/24"), 7)
    message = Message(inet.NEWADDR, request.body)
    assert inet.parse_address(message, {7: "eth0"}) == inet.Address("eth0", "10.0.0.1/24")
    assert inet.parse_address(message, {}) is None
    entry = neighbours.set_fdb(neighbours.Fdb("x", "02:42:0a:00:00:05", "192.0.2.1"), 7)
    found = Message(neighbours.NEWNEIGH, entry.body)
    assert neighbours.parse_fdb(found, {}) is None
    assert neighbours.parse_neighbour(found, {}) is None
