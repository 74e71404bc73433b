"""One HTTP call to Alpaca: within its time and size, without redirects or proxies, and of an order only once.

What comes back is an Answer or a Silence; what they mean is decided elsewhere. The rate limit is asked
before a call and told after it.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import httpx

from trimtab.brokers.alpaca_budget import Budget, Use
from trimtab.brokers.alpaca_json import parsed
from trimtab.core.errors import BrokerDown

log = logging.getLogger(__name__)

Method = Literal["GET", "POST", "DELETE"]

CONNECT_S, READ_S, TOTAL_S = 5.0, 10.0, 15.0
ANSWER_MAX_BYTES = 8 << 20
# Calls that may be under way at once.
AT_ONCE = 8
# How long is waited before a question is asked again, unless its first answer took too long already.
ASK_PAUSES_S = (0.05, 0.2)
ASK_AGAIN_WITHIN_S = 2.0
# A stream that says nothing for so long, not even that it is alive, is dead.
SILENCE_S = 60.0
_BEFORE_IT_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the broker is and who asks; `data_url` is where its prices are."""

    url: str
    data_url: str
    key_id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`body` is the JSON value of it; None if there was no body, or none that is JSON."""

    status: int
    body: object = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 - as HTTP has it


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer that can be used. `left`: the request may have reached the broker."""

    why: str
    left: bool


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The rate limit leaves no room for this call before `until`."""

    until: datetime


class Calls:
    """Threads may share it."""

    def __init__(self, access: Access, budget: Budget) -> None:
        self.access = access
        self._budget = budget
        self._client = httpx.Client(
            auth=(access.key_id, access.secret),
            # Compressed answers are refused: their size cannot be known before they are opened.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "trimtab"},
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=2 * AT_ONCE, max_keepalive_connections=AT_ONCE),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def call(
        self,
        method: Method,
        url: str,
        *,
        use: Use,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Answer | Silence | NoRoom:
        # Prices may come from elsewhere, and have a limit of their own there.
        is_counted = url.startswith(self.access.url)
        until = self._budget.spend(use) if is_counted else None
        if until is not None:
            return NoRoom(until)
        try:
            with self._client.stream(method, url, params=params, json=body) as response:
                if is_counted:
                    self._budget.learn(response.status_code, response.headers)
                return _answer(response)
        except _BEFORE_IT_LEFT as error:
            return Silence(f"the broker cannot be reached: {_words(error)}", left=False)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return Silence(f"the broker's answer was lost: {_words(error)}", left=True)

    def ask(self, path: str, *, params: Mapping[str, str] | None = None, at: str | None = None) -> Answer:
        """A question; an answer of any status but those that say the broker cannot answer now.

        Questions change nothing: one whose answer failed at once is asked again. A thousand accounts would
        never be seen together if each lost answer cost all the others.
        """
        url = (at or self.access.url) + path
        ends_at = time.monotonic() + ASK_AGAIN_WITHIN_S
        for pause_s in ASK_PAUSES_S:
            said = self.call("GET", url, use=Use.READ, params=params)
            if not _is_worth_another_try(said) or time.monotonic() > ends_at:
                return _understood(said)
            time.sleep(pause_s)
        return _understood(self.call("GET", url, use=Use.READ, params=params))

    @contextmanager
    def stream(self, path: str, params: Mapping[str, str]) -> Iterator[httpx.Response]:
        """A response that stays open; raises httpx.HTTPError, after a long silence too."""
        headers = {"Accept": "text/event-stream"}
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        url = self.access.url + path
        with self._client.stream("GET", url, params=params, headers=headers, timeout=timeout) as response:
            yield response


def _is_worth_another_try(said: Answer | Silence | NoRoom) -> bool:
    match said:
        case Silence(left=left):
            return left
        case Answer(status=status):
            return status >= 500 or status in {408, 425}  # noqa: PLR2004 - as HTTP has it
        case NoRoom():
            return False


def _understood(said: Answer | Silence | NoRoom) -> Answer:
    match said:
        case NoRoom(until):
            raise BrokerDown(f"the broker's rate limit is used up until {until:%H:%M:%S} UTC")
        case Silence(why=why):
            raise BrokerDown(why)
        case Answer(status=status) if status in {408, 425, 429} or status >= 500:  # noqa: PLR2004
            raise BrokerDown(f"the broker answers {status}")
        case Answer(status=status) if 300 <= status < 400:  # noqa: PLR2004 - as HTTP has it
            raise BrokerDown(f"the broker redirects ({status}): is its address right?")
        case Answer():
            return said


def _answer(response: httpx.Response) -> Answer | Silence:
    """The whole answer. One that is cut short, too long, too slow or in another language is a Silence
    if it says success: who says no in whatever words still says no.
    """
    body, why = _body(response)
    if why is None and body:
        try:
            return Answer(status=response.status_code, body=parsed(body))
        except ValueError as error:
            why = f"no JSON: {_words(error)}"
    answer = Answer(status=response.status_code)
    return Silence(f"the broker's answer is {why}", left=True) if why and answer.is_success else answer


def _body(response: httpx.Response) -> tuple[bytes, str | None]:
    """What came, and why it cannot be used."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return b"", "compressed"
    kind = response.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    received = bytearray()
    ends_at = time.monotonic() + TOTAL_S
    for chunk in response.iter_raw():
        received += chunk
        if len(received) > ANSWER_MAX_BYTES:
            return b"", "too long"
        if time.monotonic() > ends_at:
            return b"", "too slow"
    return bytes(
        received
    ), None if kind == "application/json" or not received else f"{kind or 'nothing'}, not JSON"


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
