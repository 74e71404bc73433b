"""A running face of the paper broker, and the short ways in which tests use one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from tests.api.servers import Server

Json = Any
# A Wednesday, an hour and a half after the open.
MORNING = datetime(2026, 3, 4, 16, tzinfo=UTC)
FACES = ["paper-sqlite", "paper-postgres", "serve-sqlite", "serve-postgres"]
WITH_ENGINE = FACES[2:]
PRICES = {"SPY": "400", "TLT": "100", "GLD": "250"}
WHOLE = {"tradable": True, "fractionable": True, "status": "active", "depth": None}
HOLDER: Json = {
    "contact": {
        "email_address": "",
        "phone_number": "555-666-7788",
        "street_address": ["20 N San Mateo Dr"],
        "city": "San Mateo",
        "state": "CA",
        "postal_code": "94401",
        "country": "USA",
    },
    "identity": {
        "given_name": "Ann",
        "family_name": "Doe",
        "date_of_birth": "1990-01-01",
        "tax_id": "666-55-4321",
        "country_of_tax_residence": "USA",
    },
    "disclosures": {"immediate_family_exposed": False, "is_politically_exposed": False},
    "agreements": [
        {"agreement": "customer_agreement", "signed_at": "2026-01-01T00:00:00Z", "ip_address": "203.0.113.7"}
    ],
}
_NUMBERS = count(1)


@dataclass(slots=True)
class Face:
    """`stranger` calls with another key: of another tenant, where there are tenants."""

    server: Server
    key: tuple[str, str]
    http: httpx.Client
    stranger: httpx.Client
    now: datetime = field(default=MORNING)

    def call(self, method: str, path: str, body: Json = None, *, expect: int = 200, **query: Any) -> Json:
        answer = self.http.request(method, path, json=body, params=query or None)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: Json = None, *, expect: int) -> tuple[int, str]:
        told = self.call(method, path, body, expect=expect)
        return told["code"], told["message"]

    def open_market(self) -> None:
        self.call("PUT", "/sandbox/faults", {})
        shown = self.call("GET", "/sandbox/clock")
        if not shown["simulated"]:
            self.set_clock(MORNING)
        self.call("PUT", "/sandbox/prices", PRICES)
        for symbol in PRICES:
            self.call("PUT", f"/sandbox/assets/{symbol}", WHOLE)

    def set_clock(self, now: datetime) -> None:
        self.now = now
        self.call("PUT", "/sandbox/clock", {"now": now.isoformat()})

    def later(self, **time: float) -> datetime:
        self.set_clock(datetime.fromisoformat(self.call("GET", "/sandbox/clock")["now"]) + timedelta(**time))
        return self.now

    def set_faults(self, **faults: Json) -> None:
        self.call("PUT", "/sandbox/faults", faults)

    def holder(self, **changes: Json) -> Json:
        """What an account is opened with: nobody else's e-mail address."""
        body: Json = json.loads(json.dumps(HOLDER))
        body["contact"]["email_address"] = f"ann{next(_NUMBERS)}@example.com"
        return body | changes

    def account(self, cash: str = "0") -> str:
        """A new account with so much cash, from its bank."""
        account_id = str(self.call("POST", "/v1/accounts", self.holder())["id"])
        if cash != "0":
            self.transfer(account_id, cash)
        return account_id

    def relationship(self, account_id: str) -> str:
        path = f"/v1/accounts/{account_id}/ach_relationships"
        found = self.call("GET", path)
        made = found[0] if found else self.call("POST", path, {"processor_token": "token"})
        return str(made["id"])

    def transfer(
        self, account_id: str, amount: str, *, direction: str = "INCOMING", expect: int = 200
    ) -> Json:
        body = {
            "transfer_type": "ach",
            "relationship_id": self.relationship(account_id),
            "amount": amount,
            "direction": direction,
        }
        return self.call("POST", f"/v1/accounts/{account_id}/transfers", body, expect=expect)

    def firm(self) -> str:
        """The id of the firm's own account, which is there once any account is."""
        found = self.call("GET", "/v1/accounts")
        return str(next(each["id"] for each in found if each["account_type"] == "firm"))

    def journal(self, source: str, target: str, amount: str, *, expect: int = 200) -> Json:
        body = {"entry_type": "JNLC", "from_account": source, "to_account": target, "amount": amount}
        return self.call("POST", "/v1/journals", body, expect=expect)

    def trading(self, account_id: str, path: str = "") -> str:
        return f"/v1/trading/accounts/{account_id}{path}"

    def order(self, account_id: str, *, expect: int = 200, **others: Json) -> Json:
        body = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", **others}
        return self.call("POST", self.trading(account_id, "/orders"), body, expect=expect)

    def cash(self, account_id: str) -> str:
        return str(self.call("GET", self.trading(account_id, "/account"))["cash"])

    def positions(self, account_id: str) -> dict[str, str]:
        return {
            each["symbol"]: each["qty"] for each in self.call("GET", self.trading(account_id, "/positions"))
        }

    def events(self, since: str | None = None, *, count: int, **headers: str) -> list[Json]:
        """The next so many trade events of this caller, after an id or from this morning on."""
        query = {"since_id": since} if since else {} if headers else {"since": MORNING.isoformat()}
        with self.http.stream("GET", "/v2/events/trades", params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            found = []
            for event in events_in(answer.iter_lines()):
                found.append(event)
                if len(found) == count:
                    break
        return found

    def events_of(self, account_id: str) -> list[Json]:
        """All trade events of an account so far: the stream ends at the present."""
        now = datetime.fromisoformat(self.call("GET", "/sandbox/clock")["now"])
        query = {"since": MORNING.isoformat(), "until": now.isoformat()}
        with self.http.stream("GET", "/v2/events/trades", params=query) as answer:
            assert answer.status_code == 200, answer.read()
            return [event for event in events_in(answer.iter_lines()) if event["account_id"] == account_id]


def events_in(lines: Iterator[str]) -> Iterator[Json]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
