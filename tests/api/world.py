"""One tenant at a running server: calls, the few steps that scenarios are made of, and its books.

The books are kept apart from the server: what went into each account, and what price changes made of
it. At the end of every scenario each account must be worth exactly that, and hold no debt.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from tests.api.servers import Server
from trimtab.api.keys import DEFAULT_SCOPES, api_key, new_key
from trimtab.database import Database, Tx
from trimtab.store import tenants

PORTFOLIOS = "/v1/rebalancing/portfolios"
SUBSCRIPTIONS = "/v1/rebalancing/subscriptions"
RUNS = "/v1/rebalancing/runs"

# What every shared server sells, at prices that no test changes.
PRICES = {"SPY": "400", "TLT": "100", "GLD": "250"}
WEDNESDAY = 2
# Those that can be a Wednesday: Juneteenth, the Fourth of July, Christmas and New Year.
HOLIDAYS = {(6, 19), (7, 4), (12, 25), (1, 1)}
FIRST_MORNING = datetime(2026, 3, 4, 15, tzinfo=UTC)

Json = Any
Weight = dict[str, str]


def weights(**percents: str) -> list[Weight]:
    """Weights by symbol; `cash` is the cash line."""
    return [
        {"type": "cash", "percent": percent}
        if name == "cash"
        else {"type": "asset", "symbol": name, "percent": percent}
        for name, percent in percents.items()
    ]


def band(percent: str, kind: str = "absolute") -> dict[str, str]:
    return {"type": "drift_band", "sub_type": kind, "percent": percent}


def calendar(kind: str, day: str) -> dict[str, str]:
    return {"type": "calendar", "sub_type": kind, "day": day}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A key as its owner holds it."""

    tenant_id: str
    key_id: str
    secret: str

    @property
    def api_key(self) -> str:
        return api_key(self.key_id, self.secret)


def make_key(
    db: Database,
    tenant: str,
    *,
    scopes: frozenset[str] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
) -> Secret:
    """A key made beside the running server, as `trimtab keys create` makes one."""
    now = datetime.now(UTC)

    def store(tx: Tx) -> Secret:
        tenant_id = tenants.ensure_tenant(tx, str(uuid4()), name=tenant, now=now)
        key, secret = new_key(tenant_id, scopes, now=now, expires_at=expires_at)
        tenants.insert_key(tx, key)
        return Secret(tenant_id=tenant_id, key_id=key.key_id, secret=secret)

    return db.write(store)


@dataclass(kw_only=True)
class World:
    """A tenant with a key; everything is asked of the server over HTTP."""

    server: Server
    db: Database
    key: Secret
    http: httpx.Client
    worth: dict[str, Decimal] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=lambda: dict(PRICES))

    def call(
        self, method: str, path: str, body: Json = None, *, expect: int = 200, **query: str | int
    ) -> httpx.Response:
        """One request with a JSON body, whose answer must have this status."""
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        answer = self.http.request(method, path, content=content, headers=headers, params=query or None)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str, *, expect: int = 200, **query: str | int) -> Json:
        return self.call("GET", path, expect=expect, **query).json()

    def post(self, path: str, body: Json, *, expect: int = 200) -> Json:
        return self.call("POST", path, body, expect=expect).json()

    def put(self, path: str, body: Json, *, expect: int = 200) -> Json:
        return self.call("PUT", path, body, expect=expect).json()

    def patch(self, path: str, body: Json, *, expect: int = 200) -> Json:
        return self.call("PATCH", path, body, expect=expect).json()

    def delete(self, path: str) -> None:
        """Delete, which answers with nothing at all."""
        assert self.call("DELETE", path, expect=204).content == b""

    def refused(
        self, method: str, path: str, body: Json = None, *, expect: int, **query: str | int
    ) -> tuple[int, str]:
        """The code and the message of a refusal, which has nothing else."""
        answer = self.call(method, path, body, expect=expect, **query).json()
        assert set(answer) == {"code", "message"}
        return answer["code"], answer["message"]

    # Steps of a scenario.

    def open_market(self) -> None:
        """Make it a morning, mend the market, and let it sell what all tests know."""
        self.put("/sandbox/faults", {})
        shown = self.get("/sandbox/clock")
        morning = next_morning(datetime.fromisoformat(shown["now"])) if shown["simulated"] else FIRST_MORNING
        self.put("/sandbox/clock", {"now": morning.isoformat()})
        self.put("/sandbox/prices", PRICES)
        for symbol in PRICES:
            whole = {"tradable": True, "fractionable": True, "status": "active", "depth": None}
            self.put(f"/sandbox/assets/{symbol}", whole)
        self.server.moved = False

    def portfolio(self, weights: list[Weight], *conditions: dict[str, str], cooldown_days: int = 0) -> str:
        body = {
            "name": "P",
            "description": "",
            "weights": weights,
            "cooldown_days": cooldown_days,
            "rebalance_conditions": list(conditions),
        }
        return str(self.post(PORTFOLIOS, body)["id"])

    def account(self, cash: str = "0", **shares: str) -> str:
        positions = [{"symbol": symbol, "qty": quantity} for symbol, quantity in shares.items()]
        body = {"cash": cash, "positions": positions}
        account_id = str(self.post("/sandbox/accounts", body)["account_id"])
        given = (Decimal(quantity) * Decimal(self.prices[symbol]) for symbol, quantity in shares.items())
        self.worth[account_id] = Decimal(cash) + sum(given)
        return account_id

    def pay_in(self, account_id: str, amount: str) -> Json:
        """A deposit, or a withdrawal if negative."""
        shown = self.post(f"/sandbox/accounts/{account_id}/cash", {"amount": amount})
        self.worth[account_id] += Decimal(amount)
        return shown

    def subscribe(self, account_id: str, portfolio_id: str) -> str:
        body = {"account_id": account_id, "portfolio_id": portfolio_id}
        return str(self.post(SUBSCRIPTIONS, body)["id"])

    def run(self, account_id: str, weights: list[Weight] | None = None, **others: str) -> str:
        """Ask for a run, a full rebalance unless `type` says otherwise."""
        body = {"account_id": account_id, "type": "full_rebalance", **others}
        return str(self.post(RUNS, body if weights is None else {**body, "weights": weights})["id"])

    def settle(self) -> Json:
        return self.call("POST", "/sandbox/settle").json()

    def show_run(self, run_id: str) -> Json:
        return self.get(f"{RUNS}/{run_id}")

    def runs(self, account_id: str) -> list[Json]:
        """The account's runs, oldest first."""
        return list(reversed(self.get(RUNS, account_id=account_id)["runs"]))

    def statuses(self, account_id: str) -> list[tuple[str, str]]:
        """Type and status of the account's runs, oldest first."""
        return [(run["type"], run["status"]) for run in self.runs(account_id)]

    def show(self, account_id: str) -> Json:
        return self.get(f"/sandbox/accounts/{account_id}")

    def held(self, account_id: str) -> dict[str, str]:
        """Cash and shares of an account."""
        shown = self.show(account_id)
        return {"cash": shown["cash"]} | {p["symbol"]: p["qty"] for p in shown["positions"]}

    def ledger(self, account_id: str) -> list[Json]:
        """The broker's orders for one account, as they came."""
        orders = self.get("/sandbox/orders")["orders"]
        return [order for order in orders if order["account_id"] == account_id]

    def symbol(self, price: str) -> str:
        """A new asset, known to nobody else, at this price."""
        name = next(self.server.symbols)
        self.set_prices({name: price})
        return name

    def set_prices(self, prices: Mapping[str, str]) -> Json:
        """Set prices, and note in the books what each account gains by it."""
        for account_id in self.worth:
            for position in self.show(account_id)["positions"]:
                if position["symbol"] in prices:
                    change = Decimal(prices[position["symbol"]]) - Decimal(self.prices[position["symbol"]])
                    self.worth[account_id] += Decimal(position["qty"]) * change
        self.prices |= prices
        return self.put("/sandbox/prices", dict(prices))

    def now(self) -> datetime:
        return datetime.fromisoformat(self.get("/sandbox/clock")["now"])

    def set_clock(self, now: datetime) -> None:
        self.server.moved = True
        self.put("/sandbox/clock", {"now": now.isoformat()})

    def later(self, **time: float) -> datetime:
        """Move the clock on."""
        now = self.now() + timedelta(**time)
        self.set_clock(now)
        return now

    def next_day(self) -> None:
        """The next morning on which the market is open, whatever the holidays."""
        self.set_clock(next_morning(self.now()))

    def set_faults(self, **faults: Json) -> None:
        self.server.moved = True
        self.put("/sandbox/faults", faults)

    def assert_money_is_conserved(self) -> None:
        for account_id, worth in self.worth.items():
            shown = self.show(account_id)
            assert Decimal(shown["equity"]) == worth
            assert Decimal(shown["cash"]) >= 0


def next_morning(after: datetime) -> datetime:
    """The next Wednesday on which New York trades, at 15:00 UTC: an hour in which it does all year."""
    day = after + timedelta(days=1)
    day += timedelta(days=(WEDNESDAY - day.weekday()) % 7)
    while (day.month, day.day) in HOLIDAYS:
        day += timedelta(days=7)
    return day.replace(hour=15, minute=0, second=0, microsecond=0)


def new_symbols() -> Iterator[str]:
    """Names of assets that nobody uses: QA, QB, …"""
    number = 0
    while True:
        number += 1
        name, rest = "", number
        while rest:
            rest, digit = divmod(rest - 1, 26)
            name = chr(ord("A") + digit) + name
        yield f"Q{name}"
