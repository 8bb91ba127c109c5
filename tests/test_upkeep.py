"""What becomes of a member's identity when its host has other addresses."""

import time

import msgspec
import pytest

from skep.upkeep import Upkeep
from skep.wire.authority import Authority, Subject, make_key_and_csr
from skep.wire.identity import Identity
from skep.wire.tls import Credentials


class Links:
    """Stands for the kernel: it has these addresses."""

    def __init__(self, *own):
        self.own = own

    async def addresses(self):
        return self.own


@pytest.fixture
def identity():
    authority = Authority.create(time.time())
    key, csr = make_key_and_csr()
    subject = Subject(node_id="n" * 25, role="manager", cluster_id="c" * 25)
    certificate = authority.sign(csr, subject, days=90, now=time.time())
    return Identity(
        credentials=Credentials(certificate=certificate, key=key, ca=authority.certificate_pem),
        address="192.0.2.1",
        vtep="198.51.100.1",
        address_link="eth0",
        vtep_link="eth1",
        listen_address="0.0.0.0:2377",
        managers={"n" * 25: "192.0.2.1:2400", "m" * 25: "192.0.2.8:2377"},
    )


async def located(identity, *own):
    async def moved(_):
        raise AssertionError("nobody asked for that")

    kept = Upkeep(Links(*own), lambda: identity, lambda each: each.managers, lambda _: None, moved)
    return await kept.located(identity)


async def test_an_address_that_is_there_stays(identity):
    own = ("eth0", "192.0.2.1/24"), ("eth0", "192.0.2.9/24"), ("eth1", "198.51.100.1/24")
    assert await located(identity, *own) is identity


async def test_each_address_follows_its_own_link(identity):
    own = ("eth0", "192.0.2.9/24"), ("eth1", "198.51.100.7/24")
    now = await located(identity, *own)
    assert (now.address, now.vtep) == ("192.0.2.9", "198.51.100.7")
    assert now.managers == {"n" * 25: "192.0.2.9:2400", "m" * 25: "192.0.2.8:2377"}
    assert now.listen_address == "0.0.0.0:2377"


async def test_a_manager_that_listens_at_its_address_listens_at_the_new_one(identity):
    at = msgspec.structs.replace(identity, listen_address="192.0.2.1:2400")
    now = await located(at, ("eth0", "192.0.2.9/24"), ("eth1", "198.51.100.1/24"))
    assert (now.listen_address, now.vtep) == ("192.0.2.9:2400", "198.51.100.1")


async def test_without_any_other_address_it_waits(identity):
    assert await located(identity, ("lo", "127.0.0.1/8")) is identity
