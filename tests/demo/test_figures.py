"""Turnover, against an example that was worked out by hand.

$100 come on the first day; $60 buy 6 shares at $10, and $40 stay: $100 at the close. On the second day the
share stands at $15, 2 are sold for $30, and $10 more come: 4 shares at $15 and $80, together $140. The
mean of both closes is $120. Traded were $90; over half a year that is 150 % of $120 a year.
"""

from datetime import date
from decimal import Decimal

from trimtab.demo.figures import mean_equity, turnover
from trimtab.demo.market import Market, noon, read_market
from trimtab.store.trades import Traded

FIRST, SECOND = date(2008, 1, 31), date(2008, 2, 1)
MARKET = Market(days=(FIRST, SECOND), closes={FIRST: {"A": Decimal(10)}, SECOND: {"A": Decimal(15)}})


def test_turnover_is_what_was_traded_a_year_of_the_mean_equity() -> None:
    bought = Traded(on=FIRST, symbol="A", shares=Decimal(6), cash=Decimal(-60), value=Decimal(60))
    sold = Traded(on=SECOND, symbol="A", shares=Decimal(-2), cash=Decimal(30), value=Decimal(30))
    equity = mean_equity(MARKET, [bought, sold], paid_in={FIRST: Decimal(100), SECOND: Decimal(10)})
    assert equity == Decimal(120)
    assert turnover(Decimal(90), equity, years=Decimal("0.5")) == Decimal(150)


def test_months_end_with_their_last_session() -> None:
    assert MARKET.month_ends == {FIRST, SECOND}


def test_the_market_is_whole() -> None:
    market = read_market(None)
    assert (len(market.days), market.days[0], market.days[-1]) == (2141, date(2008, 1, 2), date(2016, 7, 1))
    # The lowest close of the crash.
    assert market.closes[date(2009, 3, 9)]["SPY"] == Decimal("68.11")
    assert {len(prices) for prices in market.closes.values()} == {12}
    # New York is five hours behind Greenwich in winter, four in summer.
    assert [noon(day).hour for day in (date(2008, 1, 2), date(2008, 7, 1))] == [17, 16]
