"""Where the time of a demo goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Seconds of real time by the name of what was done in them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
