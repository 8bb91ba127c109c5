"""Builds with a fault put in, each with the case that must fail on it.

A fault is a few replacements of source lines; each line must be there exactly once.
"""

from dataclasses import dataclass

DRIFT = "tests/faults/test_drift.py::test_damage_is_repaired_counted_and_told[{}]"
ATTACKS = "tests/faults/test_attacks.py::"
FLOODS = "tests/faults/test_floods.py::"
WATCH = "kernel/watch.py"
DIFF = "plan/diff.py"
NO_SWEEP = ("agent/converge.py", "SWEEP = 30.0", "SWEEP = 3000.0")
"""Else a sweep would find what events do not tell."""


@dataclass(frozen=True)
class Mutant:
    """``changes`` are (file, line's text, what it becomes); ``case`` is a test's name."""

    case: str
    changes: tuple


MUTANTS = {
    "deaf to rules": Mutant(
        DRIFT.format("rule deleted"),
        (NO_SWEEP, (WATCH, "return self.name != HOST", "return False")),
    ),
    "surplus addresses are left": Mutant(
        DRIFT.format("address added"),
        ((DIFF, "return _ordered(have - want | again), added", "return _ordered(again), added"),),
    ),
    "surplus routes are left": Mutant(
        DRIFT.format("route added"),
        ((DIFF, "        yield Phase.CLEAR, ops.DelRoute(ns=pair.ns, route=each)",
          "        yield from ()"),),
    ),
    "surplus rules are left": Mutant(
        DRIFT.format("rule added"),
        ((DIFF, "        yield Phase.CLEAR, ops.DelRule(ns=pair.ns, rule=each)",
          "        yield from ()"),),
    ),
    "surplus tables are left": Mutant(
        DRIFT.format("surplus table of ours"),
        ((DIFF, "        yield Phase.TABLE, ops.DelTable(ns=pair.ns, family=family, name=name)",
          "        yield from ()"),),
    ),
    "namespaces are left": Mutant(
        DRIFT.format("namespace left over"),
        ((DIFF, "            yield Phase.UNPIN, ops.DelNamespace(ns=name)",
          "            yield from ()"),),
    ),
    "sysctls are not compared": Mutant(
        DRIFT.format("forwarding of the ingress sandbox off"),
        ((DIFF, "changed = pair.have.sysctls.get(key, value) != value", "changed = False"),),
    ),
    "elements are not compared": Mutant(
        DRIFT.format("element deleted"),
        ((DIFF, "if each.elements != seen[each.name]:", "if each.name not in seen:"),),
    ),
    "tables are always written whole": Mutant(
        DRIFT.format("element added"),
        ((DIFF, "elif _shape(table) == _shape(have[key]) and _alike(table, have[key]):",
          "elif table == have[key]:\n            continue\n        elif not table.name:"),),
    ),
    "repairs are not counted": Mutant(
        DRIFT.format("default route deleted"),
        (("agent/tally.py", "self.drift.update(type(op).__name__ for op in drifted)",
          "self.drift.update(())"),),
    ),
    "repairs are not told": Mutant(
        DRIFT.format("published port taken away"),
        (("agent/converge.py", 'log.warning("kernel had drifted", repaired=describe(op))',
          'log.debug("kernel had drifted", repaired=describe(op))'),),
    ),
    "what is foreign is taken away": Mutant(
        "tests/faults/test_drift.py::test_what_is_somebody_elses_stays",
        (("plan/wiring.py", "if link.group != GROUP or link.name == LOOPBACK:",
          "if link.name == LOOPBACK:"),),
    ),
    "a container may say anything": Mutant(
        ATTACKS + "TestSpoofing::test_anothers_address[remote]",
        (("plan/sources.py", "    if not endpoints:\n", "    if endpoints:\n"),),
    ),
    "a container may have any MAC": Mutant(
        ATTACKS + "TestSpoofing::test_anothers_mac[local]",
        (("plan/sources.py", '        rule(Match((IN, SENDER), "@macs", "!="), _REFUSE),\n', ""),),
    ),
    "ARP is believed": Mutant(
        ATTACKS + "TestSpoofing::test_anothers_address_in_arp[local]",
        (("plan/sources.py", "(family.source, ASKER) if family is IP else (family.source,)",
          "(family.source,)"),),
    ),
    "strangers' tunnels are let in": Mutant(
        ATTACKS + "TestStrangers::test_their_tunnel_packets_are_dropped_and_counted",
        (("plan/isolate.py", 'is_not(family.source, "@vteps"), Counter(), DROP)',
          'is_not(family.source, "@vteps"), Counter())'),),
    ),
    "a copy is not looked at": Mutant(
        "tests/faults/test_disk.py::test_the_hosts_own_networks[cut in half]",
        (("agent/twice.py", "copied = read(self._copy, self._kind)", "copied = None"),),
    ),
    "half a body keeps its place": Mutant(
        FLOODS + "test_bodies_that_never_end",
        (("api/arriving.py", "PATIENCE = 30.0", "PATIENCE = 3000.0"),
         ("api/arriving.py", "with self.door.waiting(request):", "if self.door is not None:")),
    ),
    "a body may be of any size": Mutant(
        FLOODS + "test_a_body_of_ten_gigabytes[in chunks]",
        (("api/arriving.py", "if self.size > LARGEST:", "if self.size > AT_ONCE:"),),
    ),
}  # fmt: skip
