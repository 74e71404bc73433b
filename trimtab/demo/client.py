"""The demo's side of the wire: the calls of `/sandbox`, `/v1/rebalancing` and `/v2` that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from trimtab.api.keys import api_key
from trimtab.core.errors import TrimtabError
from trimtab.core.money import plain
from trimtab.core.plan import Holdings
from trimtab.core.strategy import Weights
from trimtab.demo.market import Prices
from trimtab.demo.strategies import Recipe, weights_body

REBALANCING = "/v1/rebalancing"
PORTFOLIOS = "/v2/portfolios"
# A settle works through whatever a thousand accounts have to do.
TIMEOUT_S = 120


@dataclass
class UnexpectedAnswer(TrimtabError):
    """The server does not do what its own documentation says."""

    call: str
    answer: str

    def __str__(self) -> str:
        return f"{self.call}: {self.answer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    evaluated: int
    runs_finished: int
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A rebalance that `/v2` was asked for: by its own id, and its portfolio's."""

    operation_id: str
    portfolio_id: str


class Client:
    """One keep-alive connection pool, used by several threads."""

    def __init__(self, url: str, key_id: str, *, secret: str) -> None:
        # Proxies and .netrc files of the surroundings have no part in talking to this machine.
        self._http = httpx.Client(
            base_url=url,
            auth=(key_id, secret),
            # The same key, as /v2 wants it.
            headers={"x-api-key": api_key(key_id, secret)},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def set_clock(self, now: datetime) -> None:
        self._call("PUT", "/sandbox/clock", body={"now": now.isoformat().replace("+00:00", "Z")})

    def set_prices(self, prices: Prices) -> None:
        self._call("PUT", "/sandbox/prices", body={s: plain(price) for s, price in prices.items()})

    def settle(self) -> Settled:
        answer = self._call("POST", "/sandbox/settle")
        return Settled(
            evaluated=answer["evaluated"],
            runs_finished=answer["runs_finished"],
            orders=answer["orders"],
        )

    def open_account(self, cash: Decimal) -> str:
        answer = self._call("POST", "/sandbox/accounts", body={"cash": plain(cash), "positions": []})
        return str(answer["account_id"])

    def deposit(self, account_id: str, amount: Decimal) -> None:
        self._call("POST", f"/sandbox/accounts/{account_id}/cash", body={"amount": plain(amount)})

    def holdings(self, account_id: str) -> Holdings:
        answer = self._call("GET", f"/sandbox/accounts/{account_id}")
        positions = {each["symbol"]: Decimal(each["qty"]) for each in answer["positions"]}
        return Holdings(cash=Decimal(answer["cash"]), positions=positions)

    def create_portfolio(self, recipe: Recipe) -> str:
        return str(self._call("POST", f"{REBALANCING}/portfolios", body=recipe.body())["id"])

    def change_weights(self, portfolio_id: str, weights: Weights) -> None:
        body = {"weights": weights_body(weights)}
        self._call("PATCH", f"{REBALANCING}/portfolios/{portfolio_id}", body=body)

    def subscribe(self, account_id: str, portfolio_id: str) -> None:
        body = {"account_id": account_id, "portfolio_id": portfolio_id}
        self._call("POST", f"{REBALANCING}/subscriptions", body=body)

    def request_run(self, account_id: str) -> str:
        body = {"account_id": account_id, "type": "full_rebalance"}
        return str(self._call("POST", f"{REBALANCING}/runs", body=body)["id"])

    def cancel_run(self, run_id: str) -> None:
        self._call("DELETE", f"{REBALANCING}/runs/{run_id}")

    def rebalance_now(self, account_id: str) -> Operation:
        """Through `/v2`, where the account's subscription is a portfolio."""
        owned = f"{PORTFOLIOS}?ownerAccountId=trimtab:paper:{account_id}"
        (portfolio,) = self._call("GET", owned)["data"]["portfolios"]
        portfolio_id = str(portfolio["portfolioId"])
        answer = self._call("POST", f"{PORTFOLIOS}/{portfolio_id}/rebalance")
        return Operation(operation_id=str(answer["data"]["operationId"]), portfolio_id=portfolio_id)

    def state_of(self, operation: Operation) -> str:
        path = f"{PORTFOLIOS}/{operation.portfolio_id}/operations/{quote(operation.operation_id, safe='')}"
        return str(self._call("GET", path)["data"]["state"])

    def _call(self, method: str, path: str, *, body: Mapping[str, object] | None = None) -> Any:
        call = f"{method} {path}"
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise UnexpectedAnswer(call, f"no answer ({error})") from error
        if not response.is_success:
            raise UnexpectedAnswer(call, f"{response.status_code} {response.text}")
        return response.json() if response.content else None
