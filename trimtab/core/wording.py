"""Sentences that say why a trade was skipped: for people, beside the typed reason."""

from collections.abc import Iterable
from decimal import Decimal

from trimtab.core.money import BASIS_POINTS, CENT_PLACES, divide_up, plain


def less_than_minimum(notional: Decimal, minimum: Decimal) -> str:
    """The vendor's wording (S+ in the notes on the Alpaca contract)."""
    return (
        f"order notional value (${plain(notional)}) is less than "
        f"min-notional set for correspondent (${plain(minimum)})"
    )


def too_much_impact(notional: Decimal, depth: Decimal, *, bps_max: int) -> str:
    # Rounded up, so that it never reads as if it were within the limit.
    impact = divide_up(notional * BASIS_POINTS, depth, to_places=CENT_PLACES)
    return (
        f"price impact of {plain(impact)} basis points is more than the {bps_max} allowed "
        f"(market depth ${plain(depth)})"
    )


def no_price(symbols: Iterable[str]) -> str:
    return f"no current price for {', '.join(symbols)}"
