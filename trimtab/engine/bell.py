"""The bell: tells those who wait in this process that something was published.

Other processes do not hear it; who follows what they publish has to look by itself too.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bell:
    """Listeners are called in the thread that rings, and must not keep it."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def ring(self) -> None:
        with self._lock:
            for listener in self._listeners:
                listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)
