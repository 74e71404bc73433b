"""Clients of `/v2`: one of a tenant of the test's own, and one of a second tenant, at the shared server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.api.conftest import NewWorld
from tests.api.glider.client import Glider, anonymous, freshen
from tests.api.servers import Server
from tests.api.world import SUBSCRIPTIONS

NewGlider = Callable[[Server], Glider]


@pytest.fixture
def new_glider(new_world: NewWorld) -> Iterator[NewGlider]:
    """Clients of tenants of the test's own; what they enrolled follows nothing any more at the end."""
    with ExitStack() as stack:
        gliders: list[tuple[Glider, int]] = []

        def make(server: Server) -> Glider:
            seen, world = server.log_length(), new_world(server)
            if server.moved:
                freshen(world)
            http = stack.enter_context(anonymous(world))
            gliders.append((Glider(world=world, http=http, key=world.key.api_key), seen))
            return gliders[-1][0]

        yield make
        for glider, seen in gliders:
            for shown in glider.world.get(SUBSCRIPTIONS, limit=1000)["subscriptions"]:
                # Or each later test that sets the clock would settle its runs too.
                glider.world.delete(f"{SUBSCRIPTIONS}/{shown['id']}")
            if unforeseen := glider.world.server.unforeseen(seen):
                pytest.fail(f"the server met what nobody foresaw:\n{unforeseen}")


@pytest.fixture
def glider(server: Server, new_glider: NewGlider) -> Glider:
    """A tenant at the shared server, at whatever hour it is there."""
    return new_glider(server)


@pytest.fixture
def stranger(glider: Glider, new_glider: NewGlider) -> Glider:
    """A second tenant at the shared server."""
    return new_glider(glider.world.server)
