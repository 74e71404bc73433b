"""Preferences: a strategy's own win over its tenant's, and no preference loosens a limit."""

from decimal import Decimal

import pytest

from trimtab.core.plan import Limits
from trimtab.core.preferences import NO_PREFERENCES, Preferences

LIMITS = Limits(min_notional=Decimal(1), buffer_percent=Decimal(2))


def test_each_preference_is_taken_from_the_nearest_that_has_it() -> None:
    strategy = Preferences(slippage_bps=0, threshold=Decimal(5))
    tenant = Preferences(slippage_bps=50, impact_bps=30)
    both = Preferences(slippage_bps=0, impact_bps=30, threshold=Decimal(5))
    assert strategy.or_else(tenant) == both
    assert NO_PREFERENCES.or_else(tenant) == tenant
    assert tenant.or_else(NO_PREFERENCES) == tenant


@pytest.mark.parametrize(("threshold", "smallest"), [(None, "1"), ("5", "5"), ("1", "1"), ("0.50", "1")])
def test_the_larger_of_threshold_and_limit_is_the_smallest_order(
    threshold: str | None, smallest: str
) -> None:
    preferences = Preferences(threshold=None if threshold is None else Decimal(threshold))
    assert LIMITS.narrowed(preferences).min_notional == Decimal(smallest)
    assert LIMITS.narrowed(preferences).buffer_percent == 2


def test_slippage_and_impact_are_limits_only_where_they_are_preferred() -> None:
    narrowed = LIMITS.narrowed(Preferences(slippage_bps=50, impact_bps=0))
    assert (narrowed.slippage_bps, narrowed.impact_bps_max) == (50, 0)
    assert LIMITS.narrowed(NO_PREFERENCES) == LIMITS
