"""Which of the two ways to balance this host uses: nftables, or IPVS."""

from __future__ import annotations

from skep.kernel.kernel import Kernel
from skep.model.errors import Broken

BALANCERS = ("auto", "nft", "ipvs")

LABEL = "skep.balancer"
"""The engine label by which a host tells the cluster; ``docker node inspect`` shows it."""

BY_NFT = "nftables balancing (nft_numgen, nft_nat)"
"""The feature's name. Source: `skep.kernel.features`."""


async def choose(kernel: Kernel, asked: str) -> str:
    """``nft`` or ``ipvs``, for one of `BALANCERS`: auto is nft wherever nftables can balance.

    Raises `Broken` if the kernel has no IPVS where that is asked for, or needed.
    """
    if asked == "nft":
        return "nft"
    lacking = (await kernel.features()).get(BY_NFT, "") if asked == "auto" else "not asked for"
    if not lacking:
        return "nft"
    why = await kernel.load_ipvs()
    if not why:
        return "ipvs"
    if asked == "auto":
        raise Broken(f"nothing here can balance: nftables cannot ({lacking}), and IPVS: {why}")
    raise Broken(
        f"--balancer ipvs: this kernel has no IPVS ({why}); install or load the module ip_vs, or "
        "start skepd with --balancer nft"
    )
