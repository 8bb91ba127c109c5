import pytest

from skep.agent.probes import (
    ECHO,
    KEPT,
    MAX_DATAGRAM,
    PROBE,
    TAG_SIZE,
    Packet,
    Peer,
    echo,
    probe,
    read,
    write,
)

KEY, OTHER = b"k" * 32, b"o" * 32
SECOND = 1_000_000_000
MS = 1_000_000


def test_a_datagram_says_what_was_written():
    packet = Packet(PROBE, "nodea", 7, 123 * SECOND, b"pad")
    assert read(write(packet, "nodeb", KEY), "nodeb", KEY) == packet


@pytest.mark.parametrize("at", [0, TAG_SIZE - 1, TAG_SIZE, TAG_SIZE + 3, -1])
def test_a_changed_byte_is_noticed(at):
    datagram = bytearray(write(probe("nodea", 1, 2), "nodeb", KEY))
    datagram[at] ^= 1
    assert read(bytes(datagram), "nodeb", KEY) is None


def test_another_key_or_another_receiver_is_noticed():
    datagram = write(probe("nodea", 1, 2), "nodeb", KEY)
    assert read(datagram, "nodeb", OTHER) is None
    assert read(datagram, "nodec", KEY) is None


def test_noise_is_no_packet():
    assert read(b"", "nodeb", KEY) is None
    assert read(b"x" * TAG_SIZE, "nodeb", KEY) is None
    assert read(bytes(1000), "nodeb", KEY) is None
    huge = write(Packet(PROBE, "nodea", 1, 2, bytes(MAX_DATAGRAM)), "nodeb", KEY)
    assert read(huge, "nodeb", KEY) is None


def test_an_echo_is_never_larger_than_its_probe():
    asked = probe("a" * 25, 2**40, 2**62)
    answer = echo("b" * 25, asked)
    assert (answer.kind, answer.sequence, answer.sent_at) == (ECHO, 2**40, 2**62)
    assert len(write(answer, "a" * 25, KEY)) < len(write(asked, "b" * 25, KEY))


def test_round_trips_are_measured_and_smoothed():
    peer = Peer("10.0.0.1")
    peer.probed(1, 0)
    peer.answered(1, 10 * MS, 1000.0)
    health = peer.health()
    assert (health.address, health.rtt, health.rtt_smoothed) == ("10.0.0.1", 0.01, 0.01)
    assert (health.seen_at, health.loss, health.probes) == (1000.0, 0.0, 1)
    peer.probed(2, SECOND)
    peer.answered(2, SECOND + 20 * MS, 1001.0)
    assert peer.health().rtt == pytest.approx(0.02)
    assert peer.health().rtt_smoothed == pytest.approx(0.012)


def test_what_was_never_answered_is_lost():
    peer = Peer("10.0.0.1")
    for sequence in range(4):
        peer.probed(sequence, sequence * SECOND)
        if sequence % 2:
            peer.answered(sequence, sequence * SECOND + MS, 5.0)
    peer.probed(4, 4 * SECOND)  # under way, so not judged yet
    assert (peer.health().loss, peer.health().probes) == (0.5, 4)


def test_late_repeated_and_unasked_echoes_do_not_count():
    peer = Peer("10.0.0.1")
    peer.probed(1, 0)
    peer.answered(1, SECOND + 1, 5.0)
    assert (peer.health().loss, peer.health().seen_at) == (1.0, 0.0)
    peer.probed(2, 2 * SECOND)
    peer.answered(2, 2 * SECOND + MS, 6.0)
    peer.answered(2, 2 * SECOND + 2 * MS, 7.0)
    peer.answered(99, 2 * SECOND + 2 * MS, 8.0)
    assert (peer.health().probes, peer.health().seen_at) == (2, 6.0)


def test_only_the_last_probes_are_reckoned():
    peer = Peer("10.0.0.1")
    for sequence in range(30):
        peer.probed(sequence, 2 * sequence * SECOND)
    for sequence in range(30, 30 + KEPT):
        peer.probed(sequence, 2 * sequence * SECOND)
        peer.answered(sequence, 2 * sequence * SECOND + MS, 5.0)
    assert (peer.health().loss, peer.health().probes) == (0.0, KEPT)
