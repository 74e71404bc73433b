"""Any account whatever: Hypothesis strategies for holdings, weights, prices and what is asked of them."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from hypothesis import strategies as st

from tests.core.examples import weights
from trimtab.core.plan import Basis, Holdings, Limits
from trimtab.core.run import RunKind
from trimtab.core.strategy import Weights

SYMBOLS = "ABCDEFGH"


def limits(
    min_notional: str = "1",
    buffer: str = "0",
    *,
    slippage_bps: int | None = None,
    impact_bps_max: int | None = None,
) -> Limits:
    return Limits(
        min_notional=Decimal(min_notional),
        buffer_percent=Decimal(buffer),
        slippage_bps=slippage_bps,
        impact_bps_max=impact_bps_max,
    )


@st.composite
def any_weights(draw: st.DrawFn) -> Weights:
    cuts = draw(st.lists(st.integers(1, 9999), max_size=6))
    edges = sorted({0, *cuts, 10000})
    parts = [str(Decimal(b - a).scaleb(-2)) for a, b in pairwise(edges)]
    symbols = draw(st.permutations(SYMBOLS))
    cash = parts.pop() if len(parts) > 1 and draw(st.booleans()) else None
    return weights(cash, **dict(zip(symbols, parts, strict=False)))


def amounts(most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(0, most * 10**places).map(lambda n: Decimal(n).scaleb(-places))


held_amounts = st.lists(amounts(500, 9) | amounts(20, 0), max_size=6)
price_lists = st.lists(
    amounts(900, 4).map(lambda p: p + Decimal("0.01")), min_size=len(SYMBOLS), max_size=len(SYMBOLS)
)


any_depth = st.sampled_from(["0.01", "5000", "1000000.50"]).map(Decimal)


@st.composite
def any_basis(draw: st.DrawFn) -> Basis:
    order = draw(st.permutations(SYMBOLS))
    return Basis(
        kind=RunKind.FULL_REBALANCE,
        amount=None,
        weights=draw(any_weights()),
        holdings=Holdings(
            cash=draw(amounts(100_000, 2) | amounts(30, 2) | amounts(1000, 6)),
            positions=dict(zip(order, draw(held_amounts), strict=False)),
        ),
        prices=dict(zip(SYMBOLS, draw(price_lists), strict=True)),
        set_aside=draw(st.just(Decimal(0)) | amounts(2000, 2)),
        untradable=frozenset(draw(st.lists(st.sampled_from(SYMBOLS), max_size=2))),
        limits=limits(
            draw(st.sampled_from(["0.01", "1", "5"])),
            draw(st.sampled_from(["0", "0.25", "2", "10"])),
            slippage_bps=draw(st.sampled_from([None, 0, 50, 400, 1000])),
            impact_bps_max=draw(st.sampled_from([None, 0, 100])),
        ),
        depths=draw(st.dictionaries(st.sampled_from(SYMBOLS), any_depth, max_size=2)),
    )


@st.composite
def any_request(draw: st.DrawFn) -> Basis:
    """As `any_basis`, with an amount where one may or must be given."""
    made = replace(draw(any_basis()), kind=draw(st.sampled_from(RunKind)))
    if made.kind is RunKind.FULL_REBALANCE:
        return made
    return replace(
        made,
        amount=draw(
            amounts(5000, 2) if made.kind is RunKind.PARTIAL_LIQUIDATION else st.none() | amounts(5000, 2)
        ),
    )
