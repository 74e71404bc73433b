"""The fast look at a shard may let too many accounts through, never too few."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.desks import CALENDARS, EXCHANGE, MONDAY
from trimtab.core.enrollment import (
    Enrollment,
    EnrollmentState,
    Evaluated,
    EvaluationPolicy,
    Standing,
    evaluate,
)
from trimtab.core.plan import Holdings
from trimtab.core.strategy import BandKind, Definition, DriftBand, Strategy, StrategyStatus, Weights
from trimtab.engine.screen import Rules, look, value
from trimtab.store.holdings import Block, Mirrored, empty, fold

SYMBOLS = ("A", "B", "C", "D", "E")
ON = date(2026, 3, 2)
NEVER = EvaluationPolicy(
    quarter_months=frozenset({1}), update_waits=False, invest_cash_min=Decimal(0), buffer_percent=Decimal(0)
)


def block_of(accounts: Mapping[str, Holdings]) -> Block:
    mirrored = {name: Mirrored(is_active=True, holdings=held) for name, held in accounts.items()}
    return fold(empty().block, mirrored)


def standing(
    held: Holdings, prices: Mapping[str, Decimal], weights: Weights, *, bands: tuple[DriftBand, ...]
) -> Standing:
    """An account that has been rebalanced, evaluated today and not updated since."""
    enrollment = Enrollment(
        id="e",
        shard=1,
        tenant_id="t",
        account_id="a",
        strategy_id="s",
        state=EnrollmentState.ACTIVE,
        created_at=MONDAY,
        updated_at=MONDAY,
        last_rebalanced_at=MONDAY,
        evaluated_on=ON,
        evaluated_version=1,
    )
    strategy = Strategy(
        id="s",
        tenant_id="t",
        name="",
        description="",
        status=StrategyStatus.ACTIVE,
        version=1,
        updated_version=1,
        definition=Definition(targets=(), conditions=bands, cooldown_days=0),
        calendar=EXCHANGE,
        hidden=False,
        created_at=MONDAY,
        updated_at=MONDAY,
    )
    return Standing(
        enrollment=enrollment,
        strategy=strategy,
        weights=weights,
        holdings=held,
        prices=prices,
        sessions=CALENDARS[EXCHANGE],
        session_on=ON,
        now=MONDAY,
    )


def is_due(
    held: Holdings,
    prices: Mapping[str, Decimal],
    weights: Weights,
    *,
    bands: tuple[DriftBand, ...],
    policy: EvaluationPolicy,
) -> bool:
    """What the exact rules say."""
    verdict = evaluate(standing(held, prices, weights, bands=bands), policy)
    return isinstance(verdict, Evaluated) and bool(verdict.due)


def flagged(block: Block, prices: Mapping[str, Decimal], rules: Rules) -> list[bool]:
    """Whether each account of the block could be due."""
    rows = np.arange(len(block.account_ids))
    return [bool(flag) for flag in look(value(block, prices, set_aside={}), rules, rows=rows).may_be_due]


def require_no_miss(
    accounts: Mapping[str, Holdings],
    prices: Mapping[str, Decimal],
    weights: Weights,
    *,
    bands: tuple[DriftBand, ...],
    policy: EvaluationPolicy,
) -> int:
    """Whoever is due is let through; how many are due."""
    block = block_of(accounts)
    flags = flagged(block, prices, Rules(weights=weights, bands=bands, policy=policy))
    due = [
        name for name, held in accounts.items() if is_due(held, prices, weights, bands=bands, policy=policy)
    ]
    missed = [name for name in due if not flags[block.account_ids.index(name)]]
    assert missed == []
    return len(due)


def amounts(most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=0, max_value=most, places=places)


QUANTITIES = amounts(10**6, 9).filter(lambda quantity: quantity > 0)
CASH = st.one_of(st.just(Decimal(0)), amounts(10**7, 2), amounts(10**5, 18))
PRICES = st.dictionaries(
    st.sampled_from(SYMBOLS), st.decimals(min_value="0.000001", max_value=100_000, places=6), min_size=3
)
HOLDINGS = st.builds(
    lambda cash, positions: Holdings(cash=cash, positions=positions),
    CASH,
    st.dictionaries(st.sampled_from(SYMBOLS), QUANTITIES, max_size=5),
)
PERCENTS = st.decimals(min_value="0.01", max_value=100, places=2)
BANDS = st.lists(
    st.builds(
        lambda kind, percent: DriftBand(kind=kind, percent=percent), st.sampled_from(BandKind), PERCENTS
    ),
    max_size=2,
).map(tuple)
POLICIES = st.builds(
    lambda least, buffer: EvaluationPolicy(
        quarter_months=frozenset({1}), update_waits=False, invest_cash_min=least, buffer_percent=buffer
    ),
    st.sampled_from([Decimal(0), Decimal("0.01"), Decimal(10), Decimal(1000)]),
    st.sampled_from([Decimal(0), Decimal("0.25"), Decimal(5)]),
)


@st.composite
def all_weights(draw: st.DrawFn) -> Weights:
    """Shares of 100 % in basis points, also divided as nested strategies divide them."""
    parts = draw(st.lists(st.integers(1, 100), min_size=1, max_size=5))
    whole = sum(parts)
    nested = draw(st.booleans())
    shares = [Decimal(100 * part) / whole for part in parts]
    if not nested:
        shares = [share.quantize(Decimal("0.01")) for share in shares]
        shares[0] += 100 - sum(shares)
    cash = shares.pop() if len(shares) > 1 and draw(st.booleans()) else None
    names = draw(st.permutations(SYMBOLS))
    return Weights(
        assets=dict(zip(names, shares, strict=False)), cash=cash or Decimal(0), names_cash=cash is not None
    )


@settings(max_examples=600)
@given(
    accounts=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), HOLDINGS, max_size=6),
    prices=PRICES,
    weights=all_weights(),
    bands=BANDS,
    policy=POLICIES,
)
def test_whoever_is_due_is_let_through(
    *,
    accounts: dict[str, Holdings],
    prices: dict[str, Decimal],
    weights: Weights,
    bands: tuple[DriftBand, ...],
    policy: EvaluationPolicy,
) -> None:
    require_no_miss(accounts, prices, weights, bands=bands, policy=policy)


@settings(max_examples=400)
@given(
    equity=st.integers(1, 10**9),
    percent=st.integers(1, 9_900),
    band=st.integers(1, 9_900),
    kind=st.sampled_from(BandKind),
    nudge=st.sampled_from(["-0.000000001", "0", "0.000000001"]),
    above=st.booleans(),
)
def test_whoever_is_a_billionth_beyond_a_band_is_let_through(
    *, equity: int, percent: int, band: int, kind: BandKind, nudge: str, above: bool
) -> None:
    """Two lines and two bands, with a position laid as near to the edge as shares can be divided."""
    target = Decimal(percent) / 100
    width = Decimal(band) / 100 if kind is BandKind.ABSOLUTE else target * band / 10_000
    edge = equity * (target + width if above else target - width) / 100
    held = (edge + Decimal(nudge)).quantize(Decimal("0.000000001"))
    rest = equity - held
    if held <= 0 or rest <= 0:
        return
    weights = Weights(assets={"A": target, "B": 100 - target}, cash=Decimal(0), names_cash=False)
    bands = (DriftBand(kind=kind, percent=Decimal(band) / 100),)
    accounts = {"a": Holdings(cash=Decimal(0), positions={"A": held, "B": rest})}
    require_no_miss(accounts, {"A": Decimal(1), "B": Decimal(1)}, weights, bands=bands, policy=NEVER)


@pytest.mark.parametrize("equity", ["0.01", "1", "12345.67", "9000000000"])
@pytest.mark.parametrize(
    ("off", "due"), [("-0.00000001", False), ("0", False), ("0.000000001", True), ("0.001", True)]
)
def test_the_edge_of_a_band_itself_is_not_beyond_it(*, equity: str, off: str, due: bool) -> None:
    """60 % and 40 %, a band of 5 %: at 65 % exactly nothing is due, a billionth more is. By hand."""
    edge = Decimal(equity) * 65 / 100
    held = edge + Decimal(off)
    weights = Weights(assets={"A": Decimal(60), "B": Decimal(40)}, cash=Decimal(0), names_cash=False)
    bands = (DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5)),)
    accounts = {"a": Holdings(cash=Decimal(equity) - held, positions={"A": held})}
    accounts["a"] = Holdings(cash=Decimal(0), positions={"A": held, "B": Decimal(equity) - held})
    found = require_no_miss(accounts, {"A": Decimal(1), "B": Decimal(1)}, weights, bands=bands, policy=NEVER)
    assert found == due


def test_the_screen_holds_back_whoever_is_far_from_every_band() -> None:
    """Otherwise it would be no screen: a thousand accounts on target, and one beyond."""
    on_target = Holdings(cash=Decimal(0), positions={"A": Decimal(60), "B": Decimal(40)})
    beyond = Holdings(cash=Decimal(0), positions={"A": Decimal(70), "B": Decimal(30)})
    accounts = {f"{n}": on_target for n in range(1000)} | {"x": beyond}
    weights = Weights(assets={"A": Decimal(60), "B": Decimal(40)}, cash=Decimal(0), names_cash=False)
    bands = (DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5)),)
    prices = {"A": Decimal(1), "B": Decimal(1)}
    flags = flagged(block_of(accounts), prices, Rules(weights=weights, bands=bands, policy=NEVER))
    assert list(flags) == [False] * 1000 + [True]


def test_an_account_that_floats_cannot_value_is_let_through() -> None:
    weights = Weights(assets={"A": Decimal(60), "B": Decimal(40)}, cash=Decimal(0), names_cash=False)
    accounts = {
        "unpriced": Holdings(
            cash=Decimal(0), positions={"A": Decimal(60), "B": Decimal(40), "C": Decimal(1)}
        ),
        "indebted": Holdings(cash=Decimal(-60), positions={"A": Decimal(60)}),
        "empty": Holdings(cash=Decimal(0), positions={}),
        "usual": Holdings(cash=Decimal(0), positions={"A": Decimal(60), "B": Decimal(40)}),
    }
    prices = {"A": Decimal(1), "B": Decimal(1)}
    flags = flagged(block_of(accounts), prices, Rules(weights=weights, bands=(), policy=NEVER))
    assert flags == [True, True, True, False]


def test_a_target_without_a_price_lets_everybody_through_also_who_does_not_hold_it() -> None:
    weights = Weights(assets={"A": Decimal(60), "B": Decimal(40)}, cash=Decimal(0), names_cash=False)
    accounts = {"lacking": Holdings(cash=Decimal(0), positions={"A": Decimal(60)})}
    rules = Rules(weights=weights, bands=(), policy=NEVER)
    assert flagged(block_of(accounts), {"A": Decimal(1)}, rules) == [True]
    assert flagged(block_of(accounts), {"A": Decimal(1), "B": Decimal(1)}, rules) == [False]
    frozen = Rules(weights=weights, bands=(), policy=NEVER, frozen=frozenset("B"))
    assert flagged(block_of(accounts), {"A": Decimal(1)}, frozen) == [False]


@given(st.dictionaries(st.text(min_size=1, max_size=3), HOLDINGS, max_size=8), st.data())
def test_a_folded_block_gives_back_what_was_folded_in(
    accounts: dict[str, Holdings], data: st.DataObject
) -> None:
    block = block_of(accounts)
    changed = data.draw(st.dictionaries(st.sampled_from([*accounts, "new"]), HOLDINGS, max_size=3))
    after = fold(
        block, {name: Mirrored(is_active=len(name) < 2, holdings=held) for name, held in changed.items()}
    )
    expected = accounts | changed
    assert {name: after.holdings(row) for row, name in enumerate(after.account_ids)} == expected
    assert [after.active[after.account_ids.index(name)] for name in changed] == [
        len(name) < 2 for name in changed
    ]
