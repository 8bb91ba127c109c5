import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from skep.model.errors import Broken, Unavailable
from skep.store.interface import Conflict, Put
from skep.store.sqlite import SqliteStore

WRITER = """
import asyncio, os, sys
from pathlib import Path
from skep.store.interface import Put
from skep.store.sqlite import SqliteStore

async def write(store, name):
    number = 0
    while True:
        await store.commit([Put(f"k/{name}/{number}", b"x" * 200, expect=0), Put("last", b"")])
        os.write(1, f"k/{name}/{number}\\n".encode())
        number += 1

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), keep=50)
    await asyncio.gather(*(write(store, name) for name in range(8)))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.mark.parametrize("acknowledged", [1, 40, 400])
async def test_all_that_was_acknowledged_survives_a_kill(path, acknowledged):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    try:
        heard = [writer.stdout.readline() for _ in range(acknowledged)]
    finally:
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
    # What it wrote last may be torn; what it wrote in full was acknowledged.
    heard += rest.splitlines(keepends=True)
    said = {line.decode().strip() for line in heard if line.endswith(b"\n")}
    store = await SqliteStore.open(path)
    try:
        assert said <= {item.key for item in (await store.list("k/")).items}
        assert len(said) >= acknowledged
        await store.commit([Put("still", b"works")])
    finally:
        await store.close()


async def test_it_survives_an_orderly_end_with_its_revision(path):
    store = await SqliteStore.open(path)
    revision = await store.commit([Put("a", b"1")])
    await store.close()
    await store.close()
    store = await SqliteStore.open(path)
    assert (await store.list("")).revision == revision
    assert await store.commit([Put("a", b"2", expect=revision)]) == revision + 1
    await store.close()


async def test_accepted_commits_are_finished_before_closing(path):
    store = await SqliteStore.open(path)
    commits = [asyncio.ensure_future(store.commit([Put(f"k{n}", b"")])) for n in range(300)]
    await asyncio.sleep(0)
    await store.close()
    assert sorted(await asyncio.gather(*commits)) == list(range(1, 301))


async def test_a_closed_store_says_so(path):
    store = await SqliteStore.open(path)
    watching = asyncio.create_task(anext(store.watch("", 0)))
    await asyncio.sleep(0)
    await store.close()
    for attempt in (store.commit([Put("a", b"")]), store.list(""), watching):
        with pytest.raises(Unavailable, match="closed"):
            await attempt


async def test_only_its_owner_may_read_it(path):
    path.touch(0o644)
    store = await SqliteStore.open(path)
    try:
        await store.commit([Put("secret", b"key")])
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == [
            "store.db", "store.db-shm", "store.db-wal", "store.db.lock",
        ]  # fmt: skip
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    finally:
        await store.close()


async def test_a_second_opener_is_refused(path):
    store = await SqliteStore.open(path)
    with pytest.raises(Unavailable, match=rf"in use by another process \(pid {os.getpid()}\)"):
        await SqliteStore.open(path)
    await store.commit([Put("a", b"1")])
    await store.close()
    await (await SqliteStore.open(path)).close()


async def test_a_foreign_lock_is_a_refusal_and_passes(path):
    store = await SqliteStore.open(path)
    shell = sqlite3.connect(path, isolation_level=None)
    try:
        shell.execute("begin immediate")
        with pytest.raises(Unavailable, match="another process holds a lock"):
            await store.commit([Put("a", b"1")])
        shell.execute("rollback")
        assert await store.commit([Put("a", b"1", expect=0)]) == 1
    finally:
        shell.close()
        await store.close()


async def test_what_is_not_a_store_is_refused_and_left_alone(path):
    path.write_bytes(b"my holiday pictures" * 1000)
    with pytest.raises(Broken, match="not a database"):
        await SqliteStore.open(path)
    assert path.read_bytes() == b"my holiday pictures" * 1000
    path.unlink()
    with sqlite3.connect(path) as foreign:
        foreign.execute("create table pictures (name text)")
    foreign.close()
    with pytest.raises(Broken, match="but not a cluster store"):
        await SqliteStore.open(path)


async def test_a_newer_format_is_refused(path):
    await (await SqliteStore.open(path)).close()
    with sqlite3.connect(path) as later:
        later.execute("update meta set value = 2")
    later.close()
    with pytest.raises(Broken, match="has format 2, this version of Skep uses 1"):
        await SqliteStore.open(path)


async def test_damage_is_found_when_opening(path):
    store = await SqliteStore.open(path)
    await store.commit([Put(f"k{number}", b"x" * 500) for number in range(200)])
    await store.close()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 8 * 4096)
    with pytest.raises(Broken, match="damaged"):
        await SqliteStore.open(path)


async def test_a_missing_directory_is_a_sentence(tmp_path):
    with pytest.raises(Broken, match="no such file or directory"):
        await SqliteStore.open(tmp_path / "absent" / "store.db")


async def test_one_bad_commit_does_not_take_its_neighbours_along(path):
    store = await SqliteStore.open(path)
    try:
        await store.commit([Put("taken", b"")])
        outcomes = await asyncio.gather(
            store.commit([Put("good", b"")]),
            store.commit([Put("taken", b"", expect=0)]),
            store.commit([Put("wrong", "not bytes")]),  # type: ignore[arg-type]
            store.commit([Put("better", b"")]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [int, Conflict, Broken, int]
        assert [item.key for item in (await store.list("")).items] == ["better", "good", "taken"]
    finally:
        await store.close()


async def test_a_broken_invariant_is_ours(path):
    store = await SqliteStore.open(path)
    try:
        with pytest.raises(AssertionError, match="twice"):
            await store.commit([Put("a", b"1"), Put("a", b"2")])
        with pytest.raises(AssertionError, match="bad key"):
            await store.commit([Put("naïve", b"1")])
    finally:
        await store.close()


async def test_the_file_stays_small(path):
    store = await SqliteStore.open(path, keep=200)
    for _ in range(20):
        await asyncio.gather(*(store.commit([Put("a", b"x" * 1000)]) for _ in range(200)))
    await store.close()
    assert path.stat().st_size < 1 << 20


FULL = """
import asyncio, os, subprocess, sys
from pathlib import Path
from skep.model.errors import Broken
from skep.store.interface import Put
from skep.store.sqlite import SqliteStore

directory = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", directory], check=True)

async def failure(store):
    try:
        await store.commit([Put("late", b"x" * 100_000)])
    except Broken as refusal:
        return str(refusal)

async def main():
    path = Path(directory, "store.db")
    store = await SqliteStore.open(path)
    said = []
    try:
        for number in range(100):
            await store.commit([Put(f"k{number}", b"x" * 10_000, expect=0)])
            said.append(f"k{number}")
    except Broken as refusal:
        print(refusal)
    assert said
    print(await failure(store))
    subprocess.run(["mount", "-o", "remount,size=8m", directory], check=True)
    revision = await store.commit([Put("later", b"x" * 100_000)])
    assert revision == len(said) + 1, revision
    keys = {item.key for item in (await store.list("")).items}
    assert keys == {*said, "later"}, keys
    await store.close()
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    try:
        await SqliteStore.open(path)
    except Broken as refusal:
        print(refusal)

asyncio.run(main())
"""


@pytest.mark.root
def test_a_full_disk_is_survived(tmp_path):
    """In a mount namespace of its own, so that the small disk goes with the process."""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    for sentence in (first, second):
        assert sentence.endswith("store.db cannot be used: the disk is full"), sentence
    assert third.endswith("store.db cannot be used: read-only file system")
