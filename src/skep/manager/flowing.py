"""Who talks to whom in the whole cluster: every host is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from skep.cluster.state import State
from skep.manager.asker import ANSWER_WITHIN, Asker
from skep.model.errors import Refusal
from skep.model.flows import Flow, Flows, Wanted
from skep.model.inspection import Conversations
from skep.topology.flows import chosen


class Flowing:
    """Asks for flows. ``state`` gives None on a host that is no manager: that knows its own."""

    def __init__(self, asker: Asker, state: Callable[[], State | None]) -> None:
        self._asker = asker
        self._state = state

    async def flows(self, wanted: Wanted) -> Flows:
        """What is asked for, of all hosts that answer."""
        state = self._state()
        if state is None:
            found = await self._of("")
            return Flows(flows=tuple(chosen(found, wanted)))
        hosts = {
            node.id: node.description.hostname
            for node in state.nodes.values()
            if wanted.host in ("", node.description.hostname)
        }
        answers = await asyncio.gather(*map(self._of, hosts), return_exceptions=True)
        flows: list[Flow] = []
        silent: dict[str, str] = {}
        for hostname, answer in zip(hosts.values(), answers, strict=True):
            if isinstance(answer, Refusal):
                silent[hostname] = str(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                flows += chosen(answer, wanted)
        return Flows(flows=tuple(flows), silent=silent)

    async def _of(self, node_id: str) -> tuple[Flow, ...]:
        return await self._asker.ask(node_id, Conversations(), tuple[Flow, ...], ANSWER_WITHIN)
