"""An integrator's client of `/v2`, written from the vendor's pages: a key in `x-api-key` and nothing else.

Whatever it asks, it checks the envelope, the trace headers and the types of what comes back, so that
each test of one rule is a test of these as well.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from tests.api.servers import NO_TLS
from tests.api.world import SUBSCRIPTIONS, World

Json = Any

# A library that eth_account imports raises it to where deep recursion ends the process.
sys.setrecursionlimit(1000)

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID = f"[{DIGITS}]{{26}}"
STRATEGY_ID = re.compile(ULID)
PORTFOLIO_ID = re.compile(f"pf_{ULID}")
REQUEST_ID = re.compile(f"req_{ULID}")
CORRELATION_ID = re.compile(r"corr_[A-Za-z0-9._:-]{1,123}")
CURSOR = re.compile(r"[A-Za-z0-9_-]+")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
DECIMAL = re.compile(r"-?\d+(\.\d+)?")
CODE = re.compile(r"API_\d{3}")

INSTANTS = {
    "createdAt",
    "updatedAt",
    "finishedAt",
    "submittedAt",
    "nextDueAt",
    "lastRebalanceAt",
    "fetchedAt",
}
NULLABLE_INSTANTS = {"finishedAt", "nextDueAt", "lastRebalanceAt"}
DECIMALS = {"weight", "balance", "priceUsd", "valueUsd", "totalValueUsd", "totalUsd", "cashFlowUsd"}
DECIMALS |= {"percentChange", "thresholdUsd", "balanceRaw", "accountIndex"}
NULLABLE_DECIMALS = {"priceUsd", "valueUsd", "percentChange", "thresholdUsd"}
INTEGERS = {"intervalMs", "version", "strategyVersion", "decimals", "slippageBps", "priceImpactBps"}
NULLABLE_INTEGERS = {"slippageBps", "priceImpactBps"}
# Where a trace of the request may stand: in the headers, never in a body.
NOT_IN_BODIES = {"correlationId", "requestId", "timestamp"}

JSON_TYPE = {"content-type": "application/json"}
CASH = "trimtab:paper/cash:USD"
# Any well-formed signature of 65 bytes is taken for an account that has no wallet.
SOME_SIGNATURE = "0x" + "ab" * 65

HOUR_MS, DAY_MS, WEEK_MS, MONTH_MS = 3_600_000, 86_400_000, 604_800_000, 2_592_000_000
INTERVALS_MS = {"hourly": HOUR_MS, "daily": DAY_MS, "weekly": WEEK_MS, "monthly": MONTH_MS}
NO_PREFERENCES = {"swap": {"slippageBps": None, "priceImpactBps": None, "thresholdUsd": None}}


def uuid_of(ulid: str) -> str:
    """The id of `/v1` that is the same number."""
    number = 0
    for character in ulid.removeprefix("pf_").removeprefix("req_"):
        number = number * 32 + DIGITS.index(character)
    return str(UUID(int=number))


def ulid_of(uuid: str) -> str:
    """The spelling of `/v2` for an id of `/v1`."""
    number, text = UUID(uuid).int, ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        text = DIGITS[digit] + text
    return text


def values(each: list[Json]) -> list[Json]:
    """Values of different types, for a table."""
    return each


def instant(text: str) -> datetime:
    """A time as `/v2` writes it."""
    assert INSTANT.fullmatch(text)
    return datetime.fromisoformat(text)


def run_of(operation_id: str) -> str:
    """The id in `/v1` of the run behind an operation."""
    return uuid_of(operation_id[-26:])


def some_strategy_id() -> str:
    """Well formed, and nobody's."""
    return ulid_of(str(uuid4()))


def some_portfolio_id() -> str:
    return f"pf_{some_strategy_id()}"


def asset(symbol: str) -> str:
    return CASH if symbol == "cash" else f"trimtab:paper/symbol:{quote(symbol, safe='')}"


def paper_account(account_id: str) -> str:
    return f"trimtab:paper:{account_id}"


def allocation(**percents: str) -> Json:
    """Weights by symbol; `cash` is the cash line."""
    assets = [{"assetId": asset(symbol), "weight": weight} for symbol, weight in percents.items()]
    return {"assets": assets}


def weights_of(shown: Json) -> dict[str, Decimal]:
    """Weights by asset id, of an allocation as it is shown."""
    found = {line["assetId"]: Decimal(line["weight"]) for line in shown["assets"]}
    assert len(found) == len(shown["assets"])
    assert sum(found.values()) == 100
    return found


def strategy_body(*, frequency: str | None = "daily", **others: Json) -> dict[str, Json]:
    """What creates a strategy of SPY alone, unless `others` say otherwise."""
    body = {"name": "S", "allocation": allocation(SPY="100"), **others}
    return body if frequency is None else body | {"schedule": {"type": "interval", "frequency": frequency}}


# What every answer has.


def assert_traced(answer: httpx.Response) -> None:
    assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])
    assert answer.headers["X-Correlation-Id"]


def assert_values(value: Json, name: str = "") -> None:
    """Every named value within has the type that its name promises."""
    assert name not in NOT_IN_BODIES
    if isinstance(value, dict):
        for key, below in value.items():
            assert_values(below, key)
    elif isinstance(value, list):
        for item in value:
            assert_values(item, name)
    elif name in INSTANTS:
        nullable = value is None and name in NULLABLE_INSTANTS
        assert nullable or INSTANT.fullmatch(value), f"{name}: {value}"
    elif name in DECIMALS:
        nullable = value is None and name in NULLABLE_DECIMALS
        assert nullable or DECIMAL.fullmatch(value), f"{name}: {value}"
    elif name in INTEGERS:
        nullable = value is None and name in NULLABLE_INTEGERS
        assert nullable or type(value) is int, f"{name}: {value}"
    else:
        assert not isinstance(value, float), f"{name}: {value} is a float"


def assert_success(answer: httpx.Response, *, page: bool = False) -> Json:
    """The whole body of a success, after a look at its envelope."""
    body = answer.json()
    assert set(body) == {"success", "data"} | ({"nextCursor"} if page else set()), body
    assert body["success"] is True
    assert isinstance(body["data"], dict)
    assert_values(body["data"])
    if page:
        assert len(body["data"]) == 1, "a collection sits under its name, alone"
        assert body["nextCursor"] is None or CURSOR.fullmatch(body["nextCursor"])
    return body


def assert_failure(answer: httpx.Response) -> Json:
    """The error of a refusal, after a look at its envelope."""
    body = answer.json()
    assert set(body) == {"success", "error"}, body
    assert body["success"] is False
    error = body["error"]
    assert {"code", "message"} <= set(error) <= {"code", "message", "details"}, error
    assert CODE.fullmatch(error["code"])
    assert isinstance(error["message"], str)
    assert error["message"]
    if "details" in error:
        assert isinstance(error["details"], list)
        assert error["details"], "left out when there are none"
        assert all(isinstance(line, str) and line for line in error["details"])
    return error


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal says."""

    code: str
    message: str
    details: list[str] = field(default_factory=list)

    def names(self, pattern: str) -> bool:
        """Whether a detail begins with this path, in whatever way it numbers what stands in lists."""
        as_regex = re.escape(pattern).replace(r"\[", r"[.\[]").replace(r"\]", r"\]?")
        return any(re.match(f"{as_regex}: ", line) for line in self.details)


@dataclass(kw_only=True)
class Glider:
    """One tenant's integrator; `world` is the same tenant at `/v1` and in the sandbox."""

    world: World
    http: httpx.Client
    key: str

    def with_key(self, key: str) -> Self:
        """The same server, asked with another key; with none if it is empty."""
        return replace(self, key=key)

    def send(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request as it is; the answer has the dialect's shape, whatever it says."""
        sent = ({"x-api-key": self.key} if self.key else {}) | (headers or {})
        if body is not None:
            content, sent = json.dumps(body).encode(), JSON_TYPE | sent
        answer = self.http.request(method, f"/v2{path}", content=content, headers=sent)
        assert_traced(answer)
        assert answer.headers["content-type"].partition(";")[0] == "application/json"
        if answer.status_code >= 400:
            assert_failure(answer)
        assert answer.status_code < 500 or answer.status_code == 503, f"{method} {path}: {answer.text}"
        return answer

    def call(
        self, method: str, path: str, body: Json = None, *, expect: int = 200, **query: str | int
    ) -> httpx.Response:
        target = f"{path}?{httpx.QueryParams(query)}" if query else path
        answer = self.send(method, target, body)
        assert answer.status_code == expect, f"{method} {target}: {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str) -> Json:
        return assert_success(self.call("GET", path))["data"]

    def post(self, path: str, body: Json = None, *, expect: int = 200) -> Json:
        return assert_success(self.call("POST", path, body, expect=expect))["data"]

    def patch(self, path: str, body: Json) -> Json:
        return assert_success(self.call("PATCH", path, body))["data"]

    def put(self, path: str, body: Json) -> Json:
        return assert_success(self.call("PUT", path, body))["data"]

    def page(self, path: str, **query: str | int) -> tuple[list[Json], str | None]:
        """One page of a collection, and the cursor to the next."""
        body = assert_success(self.call("GET", path, expect=200, **query), page=True)
        ((name, items),) = body["data"].items()
        assert name == path.rpartition("/")[2]
        return items, body["nextCursor"]

    def pages(self, path: str, **query: str | int) -> Iterator[list[Json]]:
        """All pages of a collection; the cursor goes into the URL as it came."""
        items, cursor = self.page(path, **query)
        yield items
        while cursor is not None:
            items, cursor = self.page(path, **query, cursor=cursor)
            yield items

    def all(self, path: str, **query: str | int) -> list[Json]:
        return [item for page in self.pages(path, **query) for item in page]

    def refused(
        self, method: str, path: str, body: Json = None, *, expect: int, **query: str | int
    ) -> Refusal:
        error = assert_failure(self.call(method, path, body, expect=expect, **query))
        return Refusal(error["code"], error["message"], error.get("details", []))

    # Steps of a scenario.

    def strategy(self, *, frequency: str = "daily", preferences: Json = None, **percents: str) -> str:
        """A new strategy of these weights, SPY alone if there are none."""
        body = strategy_body(frequency=frequency, allocation=allocation(**percents or {"SPY": "100"}))
        if preferences is not None:
            body["preferences"] = {"swap": preferences}
        return str(self.post("/strategies", body, expect=201)["strategyId"])

    def first_stage(self, account_id: str, strategy_id: str) -> dict[str, Json]:
        """What stage 1 answers, and the body of stage 2 that follows from it."""
        body = {"ownerAccountId": paper_account(account_id), "strategyId": strategy_id, "chainIds": []}
        told = self.post("/enroll/signature", body)
        given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
        return {**body, **given, "signature": SOME_SIGNATURE}

    def enroll(self, account_id: str, strategy_id: str, **others: Json) -> str:
        """Both stages; the id of the portfolio."""
        body = self.first_stage(account_id, strategy_id) | others
        return str(self.post("/enroll", body, expect=201)["portfolioId"])

    def portfolio(self, cash: str = "400", /, **percents: str) -> str:
        """A new account with this cash that follows a new daily strategy."""
        return self.enroll(self.world.account(cash), self.strategy(**percents))

    def settled(self, cash: str = "400", /, **percents: str) -> str:
        """As `portfolio`, a minute after its first run: a client may ask for the next."""
        portfolio_id = self.portfolio(cash, **percents)
        self.world.settle()
        self.world.later(seconds=60)
        return portfolio_id

    def detail(self, portfolio_id: str) -> Json:
        return self.get(f"/portfolios/{portfolio_id}")

    def schedule(self, portfolio_id: str) -> Json:
        return self.detail(portfolio_id)["schedule"]

    def account_of(self, portfolio_id: str) -> str:
        """The account in the sandbox that a portfolio is made of."""
        shown = self.world.get(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
        return str(shown["account_id"])

    def runs(self, portfolio_id: str) -> list[Json]:
        """The runs of a portfolio as `/v1` shows them, oldest first."""
        return self.world.runs(self.account_of(portfolio_id))

    def rebalance(self, portfolio_id: str) -> Json:
        return self.post(f"/portfolios/{portfolio_id}/rebalance", expect=202)

    def too_soon(self, portfolio_id: str) -> int:
        """The seconds of a refusal to rebalance again."""
        answer = self.call("POST", f"/portfolios/{portfolio_id}/rebalance", expect=429)
        assert answer.json()["error"] == {
            "code": "API_004",
            "message": "Rebalance for this portfolio finished too recently; see the Retry-After header",
        }
        return int(answer.headers["Retry-After"])

    def operation(self, portfolio_id: str, operation_id: str) -> Json:
        """An operation by its id, percent-encoded as the vendor's own clients do."""
        return self.get(f"/portfolios/{portfolio_id}/operations/{quote(operation_id, safe='')}")

    def state(self, portfolio_id: str, operation_id: str) -> str:
        return str(self.operation(portfolio_id, operation_id)["state"])

    def now(self) -> str:
        """The sandbox's time as `/v2` writes it."""
        return iso(self.world)


def iso(world: World) -> str:
    return world.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def freshen(world: World) -> None:
    """Mend the market, and at a new server let it sell what all tests know.

    `/v2` needs no morning: the clock stays, on a whole second.
    """
    world.put("/sandbox/faults", {})
    shown = world.get("/sandbox/clock")
    if not shown["simulated"]:
        world.open_market()
        world.server.moved = True
    elif fraction := datetime.fromisoformat(shown["now"]).microsecond:
        world.later(microseconds=1_000_000 - fraction)


def anonymous(world: World) -> httpx.Client:
    """A client that knows no key by itself."""
    return httpx.Client(base_url=world.server.url, timeout=60, verify=NO_TLS)


# Owners with a wallet.


def new_wallet() -> LocalAccount:
    wallet: LocalAccount = Account.create()
    return wallet


def sign(wallet: LocalAccount, raw: str) -> str:
    """EIP-191 over the 32 bytes that `message.raw` spells."""
    spelled = bytes.fromhex(raw.removeprefix("0x"))
    assert len(spelled) == 32
    signature = wallet.sign_message(encode_defunct(primitive=spelled)).signature
    return "0x" + bytes(signature).hex()


def wallet_account(wallet: LocalAccount) -> str:
    return f"eip155:0:{wallet.address}"


def wallet_first_stage(
    glider: Glider, wallet: LocalAccount, *, strategy_id: str, chains: list[int] | None = None
) -> dict[str, Json]:
    """Stage 1 for a wallet, and the body of stage 2, signed."""
    body = {
        "ownerAccountId": wallet_account(wallet),
        "strategyId": strategy_id,
        "chainIds": [8453] if chains is None else chains,
    }
    told = glider.post("/enroll/signature", body)
    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    return {**body, **given, "signature": sign(wallet, told["message"]["raw"])}
