"""What a container's own record adds to what its sandbox sees."""

import pytest

from skep.agent.network import own_names_of
from skep.agent.records import Record
from skep.model.naming import STACK_LABEL, SandboxNames


def record(**more):
    return Record(
        id="c", name="c", image="", sandbox_id="0123", network_mode="", created_at=0.0, **more
    )


BOX = SandboxNames(namespace="0123", networks=("N",), upstreams=("192.0.2.1",), forward=False)


def test_a_record_that_says_nothing_changes_nothing():
    assert own_names_of(record(), BOX) == BOX


def test_own_servers_and_ndots():
    own = own_names_of(record(nameservers=("192.0.2.9",), dns_options=("rotate", "ndots:3")), BOX)
    assert own == SandboxNames(
        namespace="0123", networks=("N",), upstreams=("192.0.2.9",), forward=False, ndots=3
    )


@pytest.mark.parametrize(
    ("known", "label", "stack"), [("", "Blue", "blue"), ("red", "blue", "red")]
)
def test_the_stack_is_the_services_or_else_the_labels(known, label, stack):
    box = SandboxNames(namespace="0123", stack=known)
    assert own_names_of(record(labels={STACK_LABEL: label}), box).stack == stack
