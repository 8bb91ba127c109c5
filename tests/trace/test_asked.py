import pytest

from skep.model.errors import Invalid
from skep.trace.asked import Source, Target, parse_source, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", Target(name="web")),
        ("web/tcp:80", Target(name="web", protocol="tcp", port=80)),
        ("web:80", Target(name="web", protocol="tcp", port=80)),
        ("web:53/udp", Target(name="web", protocol="udp", port=53)),
        ("tasks.web/icmp", Target(name="tasks.web", protocol="icmp")),
        ("10.0.1.5", Target(name="10.0.1.5")),
        ("10.0.1.5:443", Target(name="10.0.1.5", protocol="tcp", port=443)),
        (":8080", Target(name="", protocol="tcp", port=8080)),
        ("8080", Target(name="", protocol="tcp", port=8080)),
        ("8080/udp", Target(name="", protocol="udp", port=8080)),
        ("h2/web", Target(name="h2/web")),
        ("web/udp", Target(name="web", protocol="udp")),
    ],
)
def test_to_is_taken_apart(text, expected):
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "say where to"),
        ("web/tcp:70000", "no port"),
        ("web:80/tcp:81", "two ports"),
        ("web/icmp:8", "no ports"),
        ("web:80/icmp", "no ports"),
    ],
)
def test_what_makes_no_sense_as_to_is_refused(text, says):
    with pytest.raises(Invalid, match=says):
        parse_target(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client", Source(name="client")),
        ("outside:203.0.113.7", Source(outside="203.0.113.7")),
        ("outside:203.0.113.7@h2", Source(outside="203.0.113.7", entry="h2")),
    ],
)
def test_from_is_taken_apart(text, expected):
    assert parse_source(text) == expected


@pytest.mark.parametrize("text", ["", "outside:", "outside:nobody", "outside:300.1.1.1"])
def test_what_makes_no_sense_as_from_is_refused(text):
    with pytest.raises(Invalid):
        parse_source(text)


def test_only_addresses_need_no_name_server():
    assert parse_target("10.0.1.5").is_address
    assert not parse_target("10.0.1.500").is_address
    assert not parse_target("web").is_address
