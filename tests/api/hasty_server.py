"""`trimtab`, but its streams lose patience after a moment, and it waits a moment only for those that take
nothing when it ends.

While the file `fail` is in the working directory, nothing can be read from the feed.
"""

from functools import partial
from pathlib import Path
from typing import Any

from trimtab import cli, server
from trimtab.api import alpaca_events
from trimtab.api.stream import Pace, Streams
from trimtab.store import feed

ORDER = Path("fail")
PACE = Pace(poll_s=0.05, heartbeat_s=0.1, patience_s=0.5)
STOP_WITHIN_S = 1
read = feed.between


def between(*given: Any, **named: Any) -> Any:
    if ORDER.exists():
        raise LookupError("as ordered")
    return read(*given, **named)


if __name__ == "__main__":
    setattr(alpaca_events, "Streams", partial(Streams, pace=PACE))  # noqa: B010 - mypy takes it for private
    server.STOP_WITHIN_S = STOP_WITHIN_S
    feed.between = between
    cli.main()
