"""The table that says what an error proves of an order, held against every error that ccxt has."""

import inspect
from typing import Any

import pytest
from ccxt.base import errors

from trimtab.brokers.broker import Refused, Unknown
from trimtab.brokers.crypto_exchange import Repeated, spelled, unspelled, verdict, why

REFUSED = {
    *("InvalidOrder", "OrderImmediatelyFillable", "OrderNotFillable", "ContractUnavailable"),
    *("InsufficientFunds", "BadRequest", "BadSymbol", "ArgumentsRequired", "MarketClosed"),
    *("AuthenticationError", "PermissionDenied", "AccountNotEnabled", "AccountSuspended"),
    "RestrictedLocation",
}
ALL: dict[str, Any] = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


def test_the_table_decides_for_every_error_that_there_is() -> None:
    assert len(ALL) > 35
    assert set(ALL) > REFUSED


@pytest.mark.parametrize("name", sorted(ALL))
def test_only_what_is_proven_is_refused(name: str) -> None:
    proven = Refused if name in REFUSED else Repeated if name == "DuplicateOrderId" else Unknown
    assert type(verdict(ALL[name]("no"), 400)) is proven


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_server_error_proves_nothing_whatever_it_says(name: str, status: int) -> None:
    assert isinstance(verdict(ALL[name]("no"), status), Unknown)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("id"), AttributeError(), RecursionError()])
def test_what_a_broken_answer_breaks_proves_nothing(error: Exception) -> None:
    assert isinstance(verdict(error, 200), Unknown)


def test_a_duplicate_that_ccxt_takes_for_an_invalid_order_is_a_duplicate() -> None:
    error = errors.InvalidOrder('binance {"code":-2010,"msg":"Duplicate order sent."}')
    assert isinstance(verdict(error, 400), Repeated)


def test_a_reason_is_one_short_line_without_the_signature() -> None:
    error = errors.NetworkError("binance GET https://x/api/v3/order?symbol=BTC&signature=abc\n" + 999 * "a")
    assert why(error).startswith("NetworkError: binance GET https://x/api/v3/order aaa")
    assert "signature" not in why(error)
    assert len(why(error)) == 300


@pytest.mark.parametrize(("length_max", "text_length"), [(64, 36), (36, 36), (35, 32), (32, 32)])
def test_an_id_that_was_shortened_is_still_ours(length_max: int, text_length: int) -> None:
    ours = "3b9f5e0a-2f6e-5f0e-9d4a-7a1f5f0d8b21"
    assert len(spelled(ours, length_max)) == text_length
    assert unspelled(spelled(ours, length_max)) == ours
    assert unspelled("web_4711") == "web_4711"
