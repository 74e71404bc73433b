"""What a portfolio holds, at current prices: as much as the broker can say now, and warnings for the rest.

Trouble at the broker is never an error here; the vendor documents a partial answer instead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trimtab.api.glider_ids import CASH, Names, portfolio_id
from trimtab.api.glider_wire import Out, SmartAccountOut, instant_out, smart_accounts_out
from trimtab.brokers.broker import usable_prices
from trimtab.core.enrollment import Enrollment
from trimtab.core.errors import BrokerDown
from trimtab.core.money import QUANTITY_PLACES, ZERO, plain, round_down, round_nearest
from trimtab.core.plan import Holdings
from trimtab.engine.desk import Desk

USD_PLACES = 6


class PositionOut(Out):
    asset_id: str
    smart_account_id: str
    symbol: str
    decimals: int
    balance: str
    balance_raw: str
    price_usd: str | None
    value_usd: str


class WarningOut(Out):
    kind: str
    message: str


class InTransitOut(Out):
    total_usd: str
    items: list[str]


class PositionsOut(Out):
    portfolio_id: str
    total_value_usd: str
    fetched_at: str
    smart_accounts: list[SmartAccountOut]
    assets: list[PositionOut]
    in_transit: InTransitOut
    warnings: list[WarningOut]


def positions_out(desk: Desk, names: Names, enrollment: Enrollment) -> PositionsOut:
    warnings: list[WarningOut] = []
    rows: list[PositionOut] = []
    total = ZERO
    try:
        account = desk.broker.accounts([enrollment.account_id]).get(enrollment.account_id)
        if account is None:
            warnings.append(_warning("MISSING_SMART_ACCOUNT", "the broker does not know the account"))
        else:
            prices = usable_prices(desk.broker.prices(account.holdings.positions))
            warnings += _unpriced(account.holdings.positions.keys() - prices.keys())
            lines = _lines(names, account.holdings, prices=prices)
            rows = [_row(line, names.smart_accounts(enrollment)) for line in lines]
            total = sum((line.quantity * line.price for line in lines if line.price is not None), ZERO)
    except BrokerDown:
        warnings, rows, total = [_warning("RPC_ERROR", "the broker cannot be reached now")], [], ZERO
    return PositionsOut(
        portfolio_id=portfolio_id(enrollment.id),
        total_value_usd=_usd(total),
        fetched_at=instant_out(desk.clock()),
        smart_accounts=smart_accounts_out(enrollment, names),
        assets=rows,
        in_transit=InTransitOut(total_usd="0", items=[]),
        warnings=warnings,
    )


def _warning(kind: str, message: str) -> WarningOut:
    return WarningOut(kind=kind, message=message)


def _unpriced(symbols: Collection[str]) -> list[WarningOut]:
    return [_warning("MISSING_PRICE", f"{symbol} has no current price") for symbol in sorted(symbols)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One thing that is held."""

    symbol: str
    asset_id: str
    quantity: Decimal
    price: Decimal | None
    decimals: int


def _lines(names: Names, holdings: Holdings, *, prices: Mapping[str, Decimal]) -> list[_Line]:
    """Positions by symbol, then cash."""
    lines = [
        _Line(
            symbol=symbol,
            asset_id=names.asset(symbol),
            quantity=quantity,
            price=prices.get(symbol),
            decimals=QUANTITY_PLACES,
        )
        for symbol, quantity in sorted(holdings.positions.items())
    ]
    if holdings.cash:
        lines.append(
            _Line(
                symbol=CASH,
                asset_id=names.cash,
                quantity=holdings.cash,
                price=Decimal(1),
                decimals=USD_PLACES,
            )
        )
    return lines


def _row(line: _Line, accounts: list[str]) -> PositionOut:
    """The account shown is the one on the asset's own chain, where there is one."""
    chain = line.asset_id.partition("/")[0]
    balance = round_down(line.quantity, line.decimals)
    return PositionOut(
        asset_id=line.asset_id,
        smart_account_id=next((a for a in accounts if a.startswith(f"{chain}:")), accounts[0]),
        symbol=line.symbol,
        decimals=line.decimals,
        balance=plain(balance),
        balance_raw=str(int(balance.scaleb(line.decimals))),
        price_usd=None if line.price is None else plain(line.price),
        value_usd=_usd(ZERO if line.price is None else line.quantity * line.price),
    )


def _usd(amount: Decimal) -> str:
    """Six places, as the vendor's examples show; nothing at all is a bare zero."""
    return format(round_nearest(amount, USD_PLACES), "f") if amount else "0"
