"""What this host's kernel should contain, from what the cluster and its users assigned to it."""

from __future__ import annotations

from collections.abc import Collection

from skep.model.host import HostView
from skep.model.netstate import HOST, HostState
from skep.model.secure import SECURE, is_encrypted
from skep.plan.balance import Balancer
from skep.plan.encrypt import is_secure, secure_namespace
from skep.plan.family import IP6, sandbox6, sixth
from skep.plan.gateway import host_namespace
from skep.plan.layout import overlay_namespace, overlays, plugs, sandbox_plugs
from skep.plan.overlay import overlay
from skep.plan.sandbox import Sixth, sandbox_namespace

__all__ = ["closure", "desired", "namespaces_of", "overlay_namespace"]


def desired(view: HostView, only: Collection[str] | None = None) -> HostState:
    """The namespaces that ``view`` calls for, by name; the host's own is always among them.

    With ``only``, no more than the namespaces named there are worked out. A veth pair is written
    down at both ends: to converge one, ask for both (`namespaces_of`).
    """

    def wanted(name: str) -> bool:
        return only is None or name in only

    ports = list(plugs(view))
    six = _sixth(view)
    state: HostState = {}
    if wanted(HOST):
        here = (each for each in ports if each.namespace == HOST)
        state[HOST] = host_namespace(view, here, six)
    if wanted(SECURE) and is_secure(view):
        state[SECURE] = secure_namespace(view)
    for name, network in overlays(view).items():
        if wanted(name):
            state[name] = overlay(view, network, (each for each in ports if each.namespace == name))
    balancer = Balancer(view)
    balancer6 = Balancer(six, IP6) if six else None
    for sandbox in view.sandboxes:
        if wanted(sandbox.namespace):
            own = None
            if six and balancer6 and any(each.address6 for each in sandbox.endpoints):
                own = Sixth(six, sandbox6(sandbox), balancer6)
            state[sandbox.namespace] = sandbox_namespace(view, sandbox, balancer, own)
    return state


def _sixth(view: HostView) -> HostView | None:
    """The view as IPv6 sees it; None where nothing of it speaks IPv6."""
    bridges = any(each.address6 for each in view.bridges)
    endpoints = (each.address6 for sandbox in view.sandboxes for each in sandbox.endpoints)
    return sixth(view) if bridges or IP6.has(view.vtep) or any(endpoints) else None


def namespaces_of(view: HostView, sandbox_namespace: str) -> set[str]:
    """The namespaces to converge together so that this sandbox is whole: its own and those that
    its endpoints plug into.

    To take a sandbox down, ask before it leaves the view; one that the view does not know stands
    alone.
    """
    return set(closure(view, {sandbox_namespace}))


def closure(view: HostView, names: Collection[str]) -> frozenset[str]:
    """``names`` and, for each sandbox among them, the namespaces that it plugs into: what to
    converge when these namespaces may have changed.

    A port that vanishes from a bridge takes its other end along, so the sandbox is among the
    changed ones too; a bridge's namespace alone does not drag all its sandboxes in.
    """
    plugged = (
        each.namespace
        for sandbox in view.sandboxes
        if sandbox.namespace in names
        for each in sandbox_plugs(view, sandbox)
    )
    found = frozenset((*names, *plugged))
    sending = (name for name, each in overlays(view).items() if is_encrypted(each.spec.options))
    # A tunnel can only be made from the namespace that it sends from.
    return found if found.isdisjoint(sending) else found | {SECURE}
