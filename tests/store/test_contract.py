"""What every store promises. A new engine is added to `ENGINES` and must pass unchanged."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from skep.store.interface import Compacted, Conflict, Delete, Event, Item, Put, Store
from skep.store.sqlite import SqliteStore


async def open_sqlite(directory: Path) -> Store:
    return await SqliteStore.open(directory / "store.db", keep=100)


ENGINES = {"sqlite": open_sqlite}


@pytest.fixture(params=ENGINES)
async def store(request, tmp_path):
    opened = await ENGINES[request.param](tmp_path)
    yield opened
    await opened.close()


async def take(store: Store, prefix: str, after: int, count: int) -> list[tuple[Event, ...]]:
    """The first ``count`` transactions of a watch."""
    got = []
    async with asyncio.timeout(60), aclosing(store.watch(prefix, after)) as events:
        async for transaction in events:
            got.append(transaction)
            if len(got) == count:
                return got
    raise AssertionError("a watch ended by itself")


async def test_a_new_store_is_empty(store):
    assert (await store.list("")).items == ()


async def test_a_snapshot_holds_the_prefix_in_order_of_keys(store):
    first = await store.commit([Put("node/b", b"2"), Put("node/a", b"1"), Put("nodes", b"no")])
    second = await store.commit([Put("task/a", b"no"), Put("node/c~", b"3")])
    snapshot = await store.list("node/")
    assert snapshot.revision == second == first + 1
    assert snapshot.items == (
        Item("node/a", b"1", first),
        Item("node/b", b"2", first),
        Item("node/c~", b"3", second),
    )
    assert len((await store.list("")).items) == 5


async def test_expectations_are_checked_before_anything_changes(store):
    first = await store.commit([Put("a", b"1", expect=0), Put("b", b"1")])
    with pytest.raises(Conflict) as caught:
        await store.commit([Put("new", b"x"), Delete("b"), Put("a", b"2", expect=0)])
    assert caught.value.keys == ("a",)
    with pytest.raises(Conflict):
        await store.commit([Delete("absent", expect=first)])
    snapshot = await store.list("")
    assert (snapshot.revision, [item.key for item in snapshot.items]) == (first, ["a", "b"])
    second = await store.commit([Put("a", b"2", expect=first), Delete("b", expect=first)])
    assert (await store.list("")).items == (Item("a", b"2", second),)


async def test_only_one_of_two_rivals_wins(store):
    async def rival(name: bytes) -> bool:
        try:
            await store.commit([Put("lease", name, expect=0), Put(f"won/{name.decode()}", b"")])
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(rival(str(number).encode()) for number in range(20)))
    assert sum(won) == 1
    assert len((await store.list("won/")).items) == 1


async def test_concurrent_counting_loses_nothing(store):
    async def count() -> None:
        for _ in range(10):
            while True:
                items = (await store.list("counter")).items
                value, revision = (int(items[0].value), items[0].revision) if items else (0, 0)
                try:
                    await store.commit([Put("counter", str(value + 1).encode(), expect=revision)])
                    break
                except Conflict:
                    continue

    await asyncio.gather(*(count() for _ in range(5)))
    assert (await store.list("counter")).items[0].value == b"50"


async def test_a_commit_that_changes_nothing_makes_no_revision(store):
    first = await store.commit([Put("a", b"1")])
    assert await store.commit([]) == first
    assert await store.commit([Delete("absent")]) == first
    assert (await store.list("")).revision == first
    # The same value again is a change: someone may wait for its revision.
    assert await store.commit([Put("a", b"1")]) == first + 1


async def test_a_watch_tells_the_past_then_the_present(store):
    start = (await store.list("")).revision
    first = await store.commit([Put("x/a", b"1"), Put("y/a", b"no"), Put("x/b", b"2")])
    await store.commit([Put("y/a", b"no")])
    watching = asyncio.create_task(take(store, "x/", start, 3))
    second = await store.commit([Delete("x/a"), Delete("x/absent")])
    third = await store.commit([Put("x/b", b"3")])
    assert await watching == [
        (Event("x/a", b"1", first), Event("x/b", b"2", first)),
        (Event("x/a", None, second),),
        (Event("x/b", b"3", third),),
    ]


async def test_watches_starting_amid_commits_miss_and_repeat_nothing(store):
    async def write(name: int) -> None:
        for number in range(12):
            await store.commit([Put(f"w/{name}", str(number).encode())])

    async def follow(delay: int) -> list[int]:
        for _ in range(delay):
            await asyncio.sleep(0)
        snapshot = await store.list("w/")
        left = 72 - snapshot.revision
        seen = await take(store, "w/", snapshot.revision, left) if left else []
        revisions = [events[0].revision for events in seen]
        assert revisions == list(range(snapshot.revision + 1, 73))
        return revisions

    writers = [write(name) for name in range(6)]
    await asyncio.gather(*writers, *(follow(delay) for delay in range(0, 60, 6)))


async def test_a_watch_that_wants_too_much_is_told(store):
    for number in range(250):
        await store.commit([Put("a", str(number).encode())])
    with pytest.raises(Compacted):
        await take(store, "", 0, 1)
    newest = (await store.list("")).revision
    assert len(await take(store, "", newest - 100, 100)) == 100
    with pytest.raises(Compacted):
        await take(store, "", newest + 1, 1)


async def test_a_watch_starts_right_after_where_it_was_told_or_not_at_all(store):
    for number in range(250):
        await store.commit([Put("a", str(number).encode())])
    newest = (await store.list("")).revision
    refused = 0
    for after in range(newest - 250, newest):
        try:
            ((event,),) = await take(store, "", after, 1)
            assert event.revision == after + 1
        except Compacted:
            refused += 1
            assert refused == after - (newest - 250) + 1, "what is kept has no holes"
    assert 0 < refused <= 150


async def test_a_cancelled_watch_leaves_the_others_alone(store):
    start = (await store.list("")).revision
    gone = asyncio.create_task(take(store, "", start, 1))
    stays = asyncio.create_task(take(store, "", start, 1))
    await asyncio.sleep(0)
    gone.cancel()
    await store.commit([Put("a", b"1")])
    assert len(await stays) == 1


async def test_values_are_any_bytes(store):
    value = bytes(range(256)) * 4096
    await store.commit([Put("big", value), Put("empty", b"")])
    assert [item.value for item in (await store.list("")).items] == [value, b""]
