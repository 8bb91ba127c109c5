"""One kind of damage, done to a host and measured until it is repaired."""

import re
from dataclasses import dataclass

LOGGED = re.compile(r"event='kernel had drifted' repaired=(['\"])(.*)\1$")
PATIENCE = 90
"""Seconds until a repair counts as missing: more than the time between two sweeps, and a
busy machine's delays."""

FOREIGN = """
nft add table inet guard; nft 'add chain inet guard c { type filter hook input priority 10; }'
nft add rule inet guard c tcp dport 9 drop
ip link add strange0 type bridge; ip addr add 192.0.2.1/24 dev strange0; ip link set strange0 up
ip route add 198.51.100.0/24 via 192.0.2.7
ip rule add fwmark 0x99 lookup 99
for n in %box% %overlay%; do
  ip netns exec $n nft add table ip guard
  ip -n $n link add strange1 type bridge; ip -n $n addr add 192.0.2.9/28 dev strange1
done
"""
"""What somebody else has on the host that is damaged."""

MEASURE = """
look() { { %look%; } | sort; }
right=$(look)
begun=$(date +%s%N)
{ %damage%; } || { echo "damage failed"; exit 1; }
seen=0
while :; do
  now=$(look); at=$(date +%s%N)
  if [ "$now" != "$right" ]; then seen=1
  elif [ $seen = 1 ] || [ $(( (at - begun) / 1000000000 )) -ge 3 ]; then break; fi
  sleep 0.02
  [ $(( (at - begun) / 1000000000 )) -lt %patience% ] || { echo "$now not: $right"; exit 1; }
done
echo "$seen $(( (at - begun) / 1000000 ))"
"""


@dataclass(frozen=True)
class Drift:
    """``damage`` is done inside the host, and ``look`` prints what it damages. ``repairs`` are
    patterns of what the log must say was put right; nothing else may be. ``anew`` are patterns of
    what is made anew by that, with another number. ``kind`` is the kind of object. ``swept`` is
    what no kernel event tells of: it waits for the sweep."""

    kind: str
    damage: str
    look: str
    repairs: tuple
    anew: tuple = ()
    fast: bool = False
    swept: bool = False


class Measured:
    """What a repair showed: ``seconds`` from the damage to the state before it."""

    def __init__(self, lab, host, case):
        self.repairs_before = lab.repairs(host)
        self._log = lab.log(host)
        start = self._log.stat().st_size
        script = MEASURE.replace("%patience%", str(PATIENCE))
        for word in ("look", "damage"):
            script = script.replace(f"%{word}%", getattr(case, word))
        seen, milliseconds = lab.shell(host, lab.said(host, script)).split()
        self.seconds = int(milliseconds) / 1000
        self.seen = seen == "1"
        self._start = start

    def logged(self):
        """What the log says was repaired since the damage."""
        with self._log.open() as file:
            file.seek(self._start)
            lines = file.read().splitlines()
        return [match[2] for line in lines if (match := LOGGED.search(line))]
