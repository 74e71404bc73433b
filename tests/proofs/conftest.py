"""What the proofs with real processes share."""

from collections.abc import Iterator

import pytest

from tests.proofs.lives import Nest


@pytest.fixture(scope="session")
def nest() -> Iterator[Nest]:
    made = Nest()
    yield made
    made.close()
