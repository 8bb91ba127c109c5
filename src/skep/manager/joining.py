"""Admitting hosts: who holds a join token gets a certificate, and with it a name and a role."""

from __future__ import annotations

import time

from skep.cluster import control
from skep.manager.manager import Manager, new_swarm_id
from skep.manager.sessions import Sessions
from skep.model.cluster import Cluster, Node
from skep.model.errors import Forbidden, Unsupported
from skep.model.spec import NodeSpec
from skep.wire.authority import Authority, Subject
from skep.wire.calls import Admission, Candidate, JoinCall
from skep.wire.server import Session
from skep.wire.tokens import role_of

SECOND_MANAGER = (
    "a second manager needs a store that several managers share, which this version of Skep does "
    "not have yet: join this host as a worker (docker swarm join-token worker)"
)


class Door:
    """What the endpoint asks of the manager: implements ``wire.server.Hooks``."""

    def __init__(self, manager: Manager, sessions: Sessions) -> None:
        self._manager = manager
        self._sessions = sessions

    async def join(self, call: JoinCall, address: str) -> Admission:
        """Admit a host. ``address`` is the one that the request came from.

        Raises `Forbidden` for a wrong secret, `Unsupported` for a second manager.
        """
        cluster = self._cluster()
        role = role_of(call.secret, cluster.tokens)
        if role is None:
            raise Forbidden("invalid join token: it was rotated, or belongs to another swarm")
        if role == "manager":
            raise Unsupported(SECOND_MANAGER)
        node = candidate_node(call.candidate, address, role, new_swarm_id())
        node = control.with_fitting_end(self._manager.state, node, call.candidate.other_vtep)
        certificate = self._sign(call.csr, node.id, role)
        await self._manager.change(lambda d, c: control.add_node(d, c, node))
        return Admission(certificate, self._managers(), node.address, node.vtep)

    async def renew(self, subject: Subject, csr: str) -> Admission:
        """A new certificate for a member of the cluster, in the role it has now."""
        node = self._manager.state.find_node(subject.node_id)
        return Admission(self._sign(csr, node.id, node.spec.role), self._managers(), node.address)

    async def session(self, session: Session) -> None:
        """Live with an agent's session."""
        await self._sessions.serve(session)

    def revoked(self, node_id: str) -> bool:
        """Whether the node was removed from the cluster."""
        return node_id not in self._manager.state.nodes

    def _cluster(self) -> Cluster:
        cluster = self._manager.state.cluster
        assert cluster is not None, "a manager's state holds the cluster"
        return cluster

    def _sign(self, csr: str, node_id: str, role: str) -> str:
        cluster = self._cluster()
        authority = Authority.from_pem(cluster.ca_certificate, cluster.ca_key)
        subject = Subject(node_id=node_id, role=role, cluster_id=cluster.id)
        return authority.sign(csr, subject, days=cluster.certificate_days, now=time.time())

    def _managers(self) -> dict[str, str]:
        nodes = self._manager.state.nodes.values()
        return {node.id: node.manager_address for node in nodes if node.manager_address}


def candidate_node(candidate: Candidate, seen_from: str, role: str, node_id: str) -> Node:
    """The node that a joining host becomes."""
    address = candidate.address or seen_from
    return Node(
        id=node_id,
        spec=NodeSpec(role=role, availability=candidate.availability),
        description=candidate.description,
        address=address,
        vtep=candidate.vtep or address,
        manager_address=candidate.manager_address if role == "manager" else "",
    )
