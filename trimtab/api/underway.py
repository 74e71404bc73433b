"""Which requests with an Idempotency-Key this process is answering now.

They are known in memory only, so that no crash can leave a key locked. Another process that serves the
same database does not see them: there the second transaction waits for the first one's row in
`replies`, and its client gets the first answer.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trimtab.core.errors import TrimtabError
from trimtab.store.replies import Anchor


class StillRunning(TrimtabError):
    """The first request with this key has no answer yet."""


@dataclass(slots=True)
class Underway:
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _anchors: set[Anchor] = field(default_factory=set)

    @contextmanager
    def claimed(self, anchor: Anchor) -> Iterator[None]:
        """Be the only request with this key until the block ends. Raises StillRunning."""
        with self._lock:
            if anchor in self._anchors:
                raise StillRunning
            self._anchors.add(anchor)
        try:
            yield
        finally:
            with self._lock:
                self._anchors.remove(anchor)
