"""What the proofs with real processes share."""

from collections.abc import Iterator

import pytest

from tests.proofs.lives import Nest


@pytest.fixture(scope="session")
def nest() -> Iterator[Nest]:
    made = Nest()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.prove)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the test's own; servers that wait for each other take long: PostgreSQL is for
    `make prove`.
    """
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
