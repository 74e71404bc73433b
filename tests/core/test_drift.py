"""Drift: which bands are broken: at the band, one nano beyond, and in hundreds of made-up accounts."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from tests.core.examples import decimals, holdings, weights
from trimtab.core.drift import Breach, first_breach
from trimtab.core.plan import Holdings
from trimtab.core.strategy import BandKind, DriftBand, Weights

ABSOLUTE, RELATIVE = BandKind.ABSOLUTE, BandKind.RELATIVE


def band(kind: BandKind, percent: str) -> DriftBand:
    return DriftBand(kind=kind, percent=Decimal(percent))


FIVE_POINTS = band(ABSOLUTE, "5")
FIFTH = band(RELATIVE, "20")
AT_ONE = decimals({"A": "1", "B": "1", "X": "1"})

# rule, band, weights, holdings at $1 a share, the line that breaks ("cash" for cash, "" for none)
TABLE: list[tuple[str, DriftBand, Weights, Holdings, str]] = [
    ("on target", FIVE_POINTS, weights(A="60", B="40"), holdings("0", A="60", B="40"), ""),
    (
        "exactly at the absolute band above",
        FIVE_POINTS,
        weights(A="60", B="40"),
        holdings("0", A="65", B="35"),
        "",
    ),
    (
        "one nano beyond, above",
        FIVE_POINTS,
        weights(A="60", B="40"),
        holdings("0", A="65.000000001", B="34.999999999"),
        "A",
    ),
    (
        "exactly at the absolute band below",
        FIVE_POINTS,
        weights(A="60", B="40"),
        holdings("0", A="55", B="45"),
        "",
    ),
    (
        "one nano beyond, below",
        FIVE_POINTS,
        weights(A="60", B="40"),
        holdings("0", A="54.999999999", B="45.000000001"),
        "A",
    ),
    ("exactly at the relative band above", FIFTH, weights(A="50", B="50"), holdings("0", A="60", B="40"), ""),
    (
        "one nano beyond the relative band",
        FIFTH,
        weights(A="50", B="50"),
        holdings("0", A="60.000000001", B="39.999999999"),
        "A",
    ),
    ("exactly at the relative band below", FIFTH, weights(A="10", B="90"), holdings("0", A="8", B="92"), ""),
    (
        "one nano below the relative band",
        FIFTH,
        weights(A="10", B="90"),
        holdings("0", A="7.999999999", B="92.000000001"),
        "A",
    ),
    (
        "a relative band is narrow for a small target",
        FIFTH,
        weights(A="10", B="90"),
        holdings("0", A="13", B="87"),
        "A",
    ),
    ("an absolute band is not", FIVE_POINTS, weights(A="10", B="90"), holdings("0", A="13", B="87"), ""),
    (
        "the vendor's absolute example holds at 12",
        band(ABSOLUTE, "2"),
        weights(A="10", B="90"),
        holdings("0", A="12", B="88"),
        "",
    ),
    (
        "the vendor's absolute example breaks at 12.1",
        band(ABSOLUTE, "2"),
        weights(A="10", B="90"),
        holdings("0", A="12.1", B="87.9"),
        "A",
    ),
    (
        "the vendor's relative example holds at 11",
        band(RELATIVE, "10"),
        weights(A="10", B="90"),
        holdings("0", A="11", B="89"),
        "",
    ),
    (
        "the vendor's relative example breaks at 11.1",
        band(RELATIVE, "10"),
        weights(A="10", B="90"),
        holdings("0", A="11.1", B="88.9"),
        "A",
    ),
    (
        "cash is tested if the weights name it",
        FIVE_POINTS,
        weights(A="95", cash="5"),
        holdings("10.01", A="89.99"),
        "A",
    ),
    ("cash breaks by itself", FIFTH, weights(A="95", cash="5"), holdings("6.01", A="93.99"), "cash"),
    ("cash exactly at the relative band", FIFTH, weights(A="95", cash="5"), holdings("6", A="94"), ""),
    (
        "cash missing by more than the band",
        FIFTH,
        weights(A="95", cash="5"),
        holdings("3.99", A="96.01"),
        "cash",
    ),
    (
        "cash is not tested if the weights do not name it",
        FIFTH,
        weights(A="50", B="50"),
        holdings("10", A="45", B="45"),
        "",
    ),
    (
        "but it dilutes the others",
        FIVE_POINTS,
        weights(A="50", B="50"),
        holdings("10.01", A="44.99", B="45"),
        "A",
    ),
    (
        "a holding outside the weights at the absolute band",
        FIVE_POINTS,
        weights(A="100"),
        holdings("0", A="95", X="5"),
        "",
    ),
    (
        "a holding outside the weights beyond it",
        FIVE_POINTS,
        weights(A="50", B="50"),
        holdings("0", A="47.5", B="47.499999999", X="5.000000001"),
        "X",
    ),
    (
        "a holding outside the weights has no relative distance",
        FIFTH,
        weights(A="100"),
        holdings("0", A="85", X="15"),
        "",
    ),
    ("nothing held of a target", FIVE_POINTS, weights(A="94", B="6"), holdings("6", A="94"), "B"),
    (
        "nothing held of a target within the band",
        FIVE_POINTS,
        weights(A="95", B="5"),
        holdings("5", A="95"),
        "",
    ),
    ("nothing held at all, only cash", FIVE_POINTS, weights(A="100"), holdings("100"), "A"),
    ("an account of a cent", FIVE_POINTS, weights(A="100"), holdings("0.01"), "A"),
    ("an empty account", FIVE_POINTS, weights(A="100"), holdings("0"), ""),
    ("debt as large as the holdings", FIVE_POINTS, weights(A="100"), holdings("-100", A="100"), ""),
    ("debt larger than the holdings", FIVE_POINTS, weights(A="100"), holdings("-101", A="100"), ""),
]


@pytest.mark.parametrize(
    ("tested", "wanted", "held", "line"), [pytest.param(*case[1:], id=case[0]) for case in TABLE]
)
def test_a_band_breaks_strictly_beyond_its_percent(
    tested: DriftBand, wanted: Weights, *, held: Holdings, line: str
) -> None:
    breach = first_breach([tested], wanted, holdings=held, prices=AT_ONE)
    assert (breach is None) == (line == "")
    if breach is not None:
        assert (breach.band, breach.symbol or "cash") == (tested, line)


def test_a_breach_says_which_line_is_worth_how_much() -> None:
    breach = first_breach(
        [FIVE_POINTS],
        weights(A="60", B="40"),
        holdings=holdings("100", A="3", B="2.5"),
        prices=decimals({"A": "200", "B": "50"}),
    )
    # 600 in A, 125 in B and 100 in cash are 825: A is 72.7 %.
    assert breach == Breach(
        band=FIVE_POINTS, symbol="A", value=Decimal(600), target=Decimal(60), equity=Decimal(825)
    )


def test_the_first_band_comes_before_the_first_line() -> None:
    wanted, held = weights(A="10", B="90"), holdings("0", A="15", B="85")
    assert first_breach([FIVE_POINTS], wanted, holdings=held, prices=AT_ONE) is None
    found = first_breach([FIVE_POINTS, FIFTH], wanted, holdings=held, prices=AT_ONE)
    assert found is not None
    assert (found.band, found.symbol) == (FIFTH, "A")


def test_lines_come_in_the_order_of_their_symbols_and_cash_last() -> None:
    wanted = weights(B="50", A="30", cash="20")
    found = first_breach([FIVE_POINTS], wanted, holdings=holdings("60", B="20", A="20"), prices=AT_ONE)
    assert found is not None
    assert found.symbol == "A"


def test_without_a_band_nothing_breaks() -> None:
    assert first_breach([], weights(A="100"), holdings=holdings("100"), prices=AT_ONE) is None


# Hundreds of accounts, each judged by fractions.


def accounts(count: int) -> Iterator[tuple[DriftBand, Weights, Holdings, dict[str, Decimal]]]:
    """Made-up accounts; every other has one line exactly at its band, or a nano to one side."""
    random = Random(1789)
    for number in range(count):
        symbols = "ABCDEF"[: random.randint(1, 6)]
        cuts = sorted(random.sample(range(1, 100), len(symbols)))
        parts = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
        cash = None if random.random() < 0.5 else str(100 - sum(parts))
        if cash is None:
            parts[-1] += 100 - sum(parts)
        wanted = weights(cash, **{s: str(p) for s, p in zip(symbols, parts, strict=True)})
        tested = band(random.choice(list(BandKind)), str(random.choice(["0.01", "0.5", "2", "5", "20"])))
        if number % 2:
            yield tested, wanted, *at_the_band(random, tested, wanted)
            continue
        yield tested, wanted, *near_the_targets(random, wanted)


def near_the_targets(random: Random, wanted: Weights) -> tuple[Holdings, dict[str, Decimal]]:
    """Each asset up to a fifth off its share of some thousand dollars; now and then a stranger."""
    prices = {s: Decimal(random.randint(1, 10**6)).scaleb(-2) for s in (*wanted.assets, "X")}
    equity = random.randint(10**3, 10**6)
    spread = random.choice([1, 20, 200])
    positions = {
        s: (equity * t * Decimal(random.randint(1000 - spread, 1000 + spread)) / 10**5 / prices[s]).quantize(
            Decimal("0.000000001")
        )
        for s, t in wanted.assets.items()
    }
    if random.random() < 0.2:
        positions["X"] = Decimal(random.randint(1, 10**9)).scaleb(-9)
    return Holdings(cash=(equity * wanted.cash / 100).quantize(Decimal("0.01")), positions=positions), prices


def at_the_band(random: Random, tested: DriftBand, wanted: Weights) -> tuple[Holdings, dict[str, Decimal]]:
    """The first asset exactly at its band, or a nano off; an equity of $1,000; $1 a share."""
    symbol, target = next(iter(wanted.assets.items()))
    width = tested.percent if tested.kind is ABSOLUTE else target * tested.percent / 100
    percent = target + random.choice([-1, 1]) * width
    value = 10 * percent + random.choice([-1, 0, 1]) * Decimal("0.000000001")
    return Holdings(cash=1000 - value, positions={symbol: value}), {s: Decimal(1) for s in wanted.assets}


def is_broken(tested: DriftBand, wanted: Weights, held: Holdings, prices: dict[str, Decimal]) -> bool:
    values = {s: Fraction(q) * Fraction(prices[s]) for s, q in held.positions.items()}
    equity = sum(values.values(), Fraction(held.cash))
    if equity <= 0:
        return False
    lines = [(values.get(s, Fraction(0)), Fraction(wanted.assets.get(s, 0))) for s in prices]
    if wanted.names_cash:
        lines.append((Fraction(held.cash), Fraction(wanted.cash)))
    for value, target in lines:
        distance = abs(value / equity * 100 - target)
        if tested.kind is ABSOLUTE and distance > Fraction(tested.percent):
            return True
        if tested.kind is RELATIVE and target and distance / target > Fraction(tested.percent) / 100:
            return True
    return False


def test_hundreds_of_accounts_agree_with_fractions() -> None:
    verdicts = []
    for tested, wanted, held, prices in accounts(800):
        broken = first_breach([tested], wanted, holdings=held, prices=prices) is not None
        assert broken == is_broken(tested, wanted, held, prices), (tested, wanted, held, prices)
        verdicts.append(broken)
    assert 100 < verdicts.count(True) < 700, "the accounts are all alike"


@pytest.mark.parametrize("off", ["-0.000000001", "0", "0.000000001"])
@pytest.mark.parametrize("percent", ["0.01", "0.25", "5", "33.33"])
@pytest.mark.parametrize("kind", list(BandKind))
def test_one_line_at_its_band_is_decided_by_one_nano(kind: BandKind, percent: str, off: str) -> None:
    # $1,000 in all; A should be 40 %, and the rest is cash that is not tested.
    width = Decimal(percent) * (10 if kind is ABSOLUTE else 4)
    value = 400 + width + Decimal(off)
    held = Holdings(cash=1000 - value, positions={"A": value})
    wanted = weights(A="40", B="60")
    found = first_breach([band(kind, percent)], wanted, holdings=held, prices=AT_ONE)
    beyond = Decimal(off) > 0
    assert (found is not None and found.symbol == "A") == beyond
