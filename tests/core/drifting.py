"""Crowds of made-up accounts, many of them exactly at the edge of a band or one billionth beside it, and
what the decisions page (9, 12) says of each, in fractions.

A crowd follows one strategy at one set of prices, as the accounts of a sweep do. Where an edge lies is
worked out in whole numbers: of `part` in `whole` dollars, so many shares that no division is left.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random

from trimtab.core.plan import Holdings
from trimtab.core.strategy import BandKind, DriftBand, Weights

NANO = Decimal("0.000000001")
NANOS_MAX = 9 * 10**18
OUTSIDER = "X"
# Cash targets with which an amount of free cash can be hit without a division.
ROUND_CASH = ("20", "50", "75", "90")
PERCENTS = ("0.01", "0.25", "0.5", "1", "2", "5", "7.77", "20", "33.33", "100", "250", "9999.99")

Prices = Mapping[str, Decimal]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Accounts that follow one strategy; `cash_min` is the free cash above which it is invested, 0 never."""

    bands: tuple[DriftBand, ...]
    weights: Weights
    prices: Prices
    cash_min: Decimal
    accounts: tuple[Holdings, ...]


def crowds(seed: str, accounts: int, *, size: int, cash_min: str) -> Iterator[Crowd]:
    """Altogether so many accounts; symbols are `A` to `F`, and `X` outside the weights."""
    for number in range(accounts // size):
        random = Random(f"{seed} {number}")
        weights = any_weights(random)
        bands = any_bands(random)
        prices = {symbol: any_price(random) for symbol in (*weights.assets, OUTSIDER)}
        bare = Crowd(bands=bands, weights=weights, prices=prices, cash_min=Decimal(cash_min), accounts=())
        members = tuple(any_account(random, bare) for _ in range(size))
        yield Crowd(bands=bands, weights=weights, prices=prices, cash_min=Decimal(cash_min), accounts=members)


def any_weights(random: Random) -> Weights:
    """Hundredths of a percent, or as fine as nesting makes them; cash named or not."""
    count = random.randint(1, 6)
    scale = random.choice([1, 100, 10**6])
    cash = random.choice([None, None, random.choice(ROUND_CASH), str(Decimal(random.randint(1, 4000)) / 100)])
    left = int((100 - Decimal(cash or 0)) * 100) * scale
    cuts = sorted(random.sample(range(1, left), count - 1)) if left > count else []
    parts = [Decimal(b - a) / (100 * scale) for a, b in pairwise([0, *cuts, left])]
    assets = dict(zip("ABCDEF", parts, strict=False))
    return Weights(assets=assets, cash=Decimal(cash or 0), names_cash=cash is not None)


def any_bands(random: Random) -> tuple[DriftBand, ...]:
    kinds = random.choice([[k] for k in BandKind] + [list(BandKind), []])
    return tuple(DriftBand(kind=kind, percent=Decimal(random.choice(PERCENTS))) for kind in kinds)


def any_price(random: Random) -> Decimal:
    """From a millionth of a dollar to nearly a billion; mostly cents."""
    return Decimal(
        random.choice([1, 100, 10**8, random.randint(1, 10**7), random.randint(1, 10**11 - 1)])
    ).scaleb(random.choice([-6, -2]))


def any_account(random: Random, crowd: Crowd) -> Holdings:
    makers = [near_the_targets, near_the_targets, anything, with_free_cash, in_debt]
    makers += [at_an_edge, at_an_edge, at_an_edge, outsider_at_an_edge, cash_at_an_edge]
    return random.choice(makers)(random, crowd)


def near_the_targets(random: Random, crowd: Crowd) -> Holdings:
    """Each line up to a little, or to twice its share off; of a cent to a hundred million dollars."""
    equity = Decimal(random.randint(1, 10 ** random.randint(3, 10))) / 100
    spread = random.choice([1, 20, 200, 1000])
    positions = {}
    for symbol, target in crowd.weights.assets.items():
        dollars = equity * target * random.randint(1000 - spread, 1000 + spread) / 10**5
        positions[symbol] = (dollars / crowd.prices[symbol]).quantize(NANO)
    if random.random() < 0.2:
        positions[OUTSIDER] = Decimal(random.randint(1, 10**9)) * NANO
    cash = (equity * crowd.weights.cash / 100).quantize(Decimal("0.01"))
    return Holdings(cash=cash, positions=packable(positions))


def anything(random: Random, crowd: Crowd) -> Holdings:
    """Some positions of any size, also none; cash of any size, also none and less than none."""
    symbols = [s for s in crowd.prices if random.random() < 0.7]
    positions = {s: Decimal(random.randint(1, 10 ** random.randint(1, 18))) * NANO for s in symbols}
    cash = Decimal(random.choice([0, 1, -1, random.randint(-(10**6), 10**12)])) / 100
    return Holdings(cash=cash, positions=packable(positions))


def in_debt(random: Random, crowd: Crowd) -> Holdings:
    """Debt a little smaller or larger than the holdings, or as large."""
    held = {s: Decimal(random.randint(1, 10**14)) * NANO for s in crowd.weights.assets}
    worth = sum((held[s] * crowd.prices[s] for s in held), Decimal(0))
    share = random.choice([Decimal(1), Decimal(2) / 3, Decimal("0.99"), Decimal("1.01"), Decimal("0.1")])
    return Holdings(cash=-(worth * share).quantize(NANO) + random.choice([-1, 0, 1]) * NANO, positions=held)


def with_free_cash(random: Random, crowd: Crowd) -> Holdings:
    """Free cash of exactly the minimum, or a cent or a billionth beside it, where that divides evenly."""
    symbol = random.choice([*crowd.weights.assets])
    held = Decimal(random.randint(1, 10**14)) * NANO
    # cash - (worth + cash) c / 100 = minimum
    kept = crowd.weights.cash
    least = crowd.cash_min or Decimal(10)
    cash = (100 * least + held * crowd.prices[symbol] * kept) / (100 - kept)
    beside = random.choice([0, 0, 1, -1]) * random.choice([NANO, Decimal("0.01")])
    return Holdings(cash=cash.quantize(Decimal("1e-18")) + beside, positions=packable({symbol: held}))


def edge(random: Random, crowd: Crowd, target: Decimal) -> Fraction | None:
    """A share of equity at which a line with this target is exactly at one of the bands."""
    if not crowd.bands:
        return None
    band = random.choice(crowd.bands)
    width = Fraction(band.percent) * (1 if band.kind is BandKind.ABSOLUTE else Fraction(target) / 100)
    sides = [Fraction(target) + width, Fraction(target) - width]
    shares = [side / 100 for side in sides if side > 0]
    return random.choice(shares) if shares else None


def at_an_edge(random: Random, crowd: Crowd) -> Holdings:
    """One line at its edge, or one nano-share to either side; the others get the rest, or cash does."""
    symbol = random.choice([*crowd.weights.assets])
    share = edge(random, crowd, crowd.weights.assets[symbol])
    return anything(random, crowd) if share is None else placed(random, crowd, symbol=symbol, share=share)


def outsider_at_an_edge(random: Random, crowd: Crowd) -> Holdings:
    share = edge(random, crowd, Decimal(0))
    return anything(random, crowd) if share is None else placed(random, crowd, symbol=OUTSIDER, share=share)


def placed(random: Random, crowd: Crowd, *, symbol: str, share: Fraction) -> Holdings:
    """`symbol` is `share` of the equity, give or take a nano-share."""
    part, whole = share.numerator, share.denominator
    count = random.randint(1, 10 ** random.randint(1, 12))
    unit = count * NANO * crowd.prices[symbol]
    rest, positions = unit * (whole - part), {}
    others = [s for s in crowd.prices if s != symbol and (s != OUTSIDER or random.random() < 0.1)]
    for other in random.sample(others, random.randint(0, len(others))):
        if rest > 0:
            most = int(rest / crowd.prices[other] / NANO)
            positions[other] = Decimal(random.randint(0, min(most, NANOS_MAX))) * NANO
            rest -= positions[other] * crowd.prices[other]
    positions[symbol] = (count * part + random.choice([-1, 0, 0, 1])) * NANO
    return Holdings(cash=rest, positions=packable(positions))


def cash_at_an_edge(random: Random, crowd: Crowd) -> Holdings:
    """Cash at its edge, or a billionth of a dollar and less to either side; the rest is in one line."""
    share = edge(random, crowd, crowd.weights.cash) if crowd.weights.names_cash else None
    if share is None or share >= 1:
        return anything(random, crowd)
    symbol = random.choice([*crowd.weights.assets])
    part, whole = share.numerator, share.denominator
    count = random.randint(1, 10 ** random.randint(1, 12))
    beside = random.choice([-1, 0, 0, 1]) * random.choice([Decimal("1e-18"), NANO, Decimal("0.01")])
    cash = count * NANO * crowd.prices[symbol] * part + beside
    return Holdings(cash=cash, positions=packable({symbol: count * (whole - part) * NANO}))


def packable(positions: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Without what is nothing, and with no more than a mirror holds (nine billion shares)."""
    most = NANOS_MAX * NANO
    return {symbol: min(held, most) for symbol, held in positions.items() if held > 0}


# What the page says.


def wanted(crowd: Crowd, held: Holdings) -> str:
    """`full_rebalance` if a band is broken, else `invest_cash` if there is enough free cash, else nothing."""
    values = {s: Fraction(q) * Fraction(crowd.prices[s]) for s, q in held.positions.items()}
    equity = sum(values.values(), Fraction(held.cash))
    if equity <= 0:
        return ""
    lines = [(value, Fraction(crowd.weights.assets.get(s, 0))) for s, value in values.items()]
    lines += [(Fraction(0), Fraction(t)) for s, t in crowd.weights.assets.items() if s not in values]
    if crowd.weights.names_cash:
        lines.append((Fraction(held.cash), Fraction(crowd.weights.cash)))
    for value, target in lines:
        distance = abs(100 * value / equity - target)
        for band in crowd.bands:
            if band.kind is BandKind.ABSOLUTE and distance > Fraction(band.percent):
                return "full_rebalance"
            if band.kind is BandKind.RELATIVE and target and distance / target * 100 > Fraction(band.percent):
                return "full_rebalance"
    free = Fraction(held.cash) - equity * Fraction(crowd.weights.cash) / 100
    return "invest_cash" if 0 < crowd.cash_min < free else ""


def is_at_an_edge(crowd: Crowd, held: Holdings) -> bool:
    """Whether some line is at a band or within a thousandth of a billionth of the equity beside it."""
    values = {s: Fraction(q) * Fraction(crowd.prices[s]) for s, q in held.positions.items()}
    equity = sum(values.values(), Fraction(held.cash))
    lines = [(values.get(s, Fraction(0)), Fraction(t)) for s, t in crowd.weights.assets.items()]
    lines.append((Fraction(held.cash), Fraction(crowd.weights.cash)))
    return equity > 0 and any(
        abs(abs(100 * value / equity - target) - width) < Fraction(1, 10**10)
        for value, target in lines
        for band in crowd.bands
        for width in [Fraction(band.percent) * (1 if band.kind is BandKind.ABSOLUTE else target / 100)]
    )
