"""What a process of a host takes: its id, descriptors, threads, memory, and what its log says."""

from swarm_lab import until

DAEMON, NAMES = "skep.daemon --state", "skep.dns.server"
LOOK = """
p=$(pgrep -of '{}'); echo $p $(ls /proc/$p/fd | wc -l) $(ls /proc/$p/task | wc -l) \
$(awk '/VmRSS/ {{ print $2 }}' /proc/$p/status)
"""
MORE_MEMORY = 60 << 10
"""kB that a process may have grown by: less than what was said to it, or held open."""
MORE_FILES, MORE_THREADS = 12, 8


class Vitals:
    """One look at a process; `same_again` is another one."""

    def __init__(self, lab, host, process=DAEMON):
        self._lab, self._host, self._process = lab, host, process
        self._start = lab.log(host).stat().st_size
        self.pid, self.files, self.threads, self.memory = self.look()

    def look(self):
        return [int(each) for each in
                self._lab.shell(self._host, LOOK.format(self._process)).split()]  # fmt: skip

    def check(self):
        """It is the same process, holds on to nothing, and had no fault."""
        until(self._as_before, 180)
        with self._lab.log(self._host).open() as log:
            log.seek(self._start)
            said = log.read()
        assert "Traceback" not in said and "a request failed" not in said, said

    def _as_before(self):
        pid, files, threads, memory = self.look()
        assert pid == self.pid, "it was started anew"
        return (
            files <= self.files + MORE_FILES and threads <= self.threads + MORE_THREADS
            and memory <= self.memory + MORE_MEMORY
        )  # fmt: skip
