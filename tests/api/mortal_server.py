"""`trimtab`, but it kills itself (-9) at one point of a request with an Idempotency-Key.

The file `die` in the working directory names the point; without it nothing is different.
"""

import os
import signal
from pathlib import Path
from typing import Any

from litestar import Response

from trimtab import cli
from trimtab.api import alpaca_once
from trimtab.store import replies
from trimtab.store.flows import Answer

ORDER = Path("die")
kept, answered = replies.keep, alpaca_once.response_of


def die_at(point: str) -> None:
    if ORDER.exists() and ORDER.read_text() == point:
        os.kill(os.getpid(), signal.SIGKILL)


def keep(*given: Any, **named: Any) -> Any:
    stands = kept(*given, **named)
    die_at("before the commit")
    return stands


def response_of(answer: Answer, headers: dict[str, str] | None = None) -> Response[bytes]:
    die_at("before the answer")
    return answered(answer, headers)


if __name__ == "__main__":
    replies.keep = keep
    alpaca_once.response_of = response_of
    cli.main()
