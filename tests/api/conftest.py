"""A daemon of fakes on a real unix socket, and a client for it."""

import aiohttp
import pytest
from api_world import World


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path / "s").serve() as served:
        yield served


@pytest.fixture
async def client(world):
    connector = aiohttp.UnixConnector(path=world.socket)
    async with aiohttp.ClientSession("http://docker", connector=connector) as session:
        yield session
