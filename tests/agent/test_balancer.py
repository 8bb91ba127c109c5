"""What a host balances with, by what it is told and what its kernel can."""

from __future__ import annotations

import pytest

from skep.agent.balancer import BY_NFT, choose
from skep.kernel import features
from skep.kernel.kernel import Kernel
from skep.model.errors import Broken


class Abilities:
    """A kernel that says what it can: "" or why not."""

    def __init__(self, nft="", ipvs=""):
        self.nft, self.ipvs = nft, ipvs
        self.loaded = False

    async def features(self):
        return {BY_NFT: self.nft, "bridges (bridge)": "no"}

    async def load_ipvs(self):
        self.loaded = True
        return self.ipvs


@pytest.mark.parametrize(
    ("asked", "kernel", "chosen"),
    [
        ("auto", Abilities(), "nft"),
        ("auto", Abilities(nft="no numgen"), "ipvs"),
        ("nft", Abilities(nft="no numgen"), "nft"),
        ("ipvs", Abilities(), "ipvs"),
    ],
)
async def test_what_is_chosen(asked, kernel, chosen):
    assert await choose(kernel, asked) == chosen
    assert kernel.loaded is (chosen == "ipvs")


async def test_what_is_asked_for_and_not_there_is_refused():
    with pytest.raises(Broken) as refused:
        await choose(Abilities(ipvs="Module ip_vs not found"), "ipvs")
    assert str(refused.value) == (
        "--balancer ipvs: this kernel has no IPVS (Module ip_vs not found); install or load the "
        "module ip_vs, or start skepd with --balancer nft"
    )
    with pytest.raises(Broken, match="nothing here can balance: nftables cannot"):
        await choose(Abilities(nft="no numgen", ipvs="nor this"), "auto")


def test_the_feature_is_one_that_is_probed():
    assert BY_NFT in features.TABLES


@pytest.mark.root
async def test_this_kernel_is_asked(tmp_path):
    """By whether it knows the family afterwards, so it holds with IPVS and without."""
    kernel = Kernel(str(tmp_path / "netns"))
    try:
        why = await kernel.load_ipvs()
        if why:
            with pytest.raises(Broken, match="this kernel has no IPVS"):
                await choose(kernel, "ipvs")
        else:
            assert await choose(kernel, "ipvs") == "ipvs"
        assert await choose(kernel, "auto") == "nft"
    finally:
        await kernel.close()
