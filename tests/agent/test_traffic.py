"""What /proc/net/dev counts."""

import os

from skep.agent.traffic import parsed, traffic

TOLD = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:     10       1    0    0    0     0          0         0       10       1    0    0    0
  eth1:   2000      20    2    1    0     0          0         0     3000      30    4    3    0
  eth0:      0       0    0    0    0     0          0         0        0       0    0    0    0
"""


def test_columns():
    found = parsed(TOLD)
    assert list(found) == ["eth0", "eth1"]
    assert found["eth1"] == {
        "rx_bytes": 2000, "rx_packets": 20, "rx_errors": 2, "rx_dropped": 1,
        "tx_bytes": 3000, "tx_packets": 30, "tx_errors": 4, "tx_dropped": 3,
    }  # fmt: skip


def test_processes():
    assert "lo" not in traffic(os.getpid())
    assert traffic(2**30) == {}, "one that has ended"
