"""What is due for an account at one evaluation, in which order and slot, and what waits."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.core.examples import a_market, day, decimals, holdings, new_york, utc, weights
from trimtab.core.enrollment import (
    Due,
    Enrollment,
    EnrollmentState,
    Evaluated,
    EvaluationPolicy,
    NotEvaluated,
    Standing,
    cooldown_end,
    enrolling_due,
    evaluate,
    free_cash,
    is_update_pending,
    keeps_update_pending,
    next_due,
    queued_run,
)
from trimtab.core.evaluation import Reason
from trimtab.core.run import Initiator, Run, RunKind, RunState
from trimtab.core.strategy import (
    AssetTarget,
    BandKind,
    Condition,
    Definition,
    DriftBand,
    Frequency,
    Monthly,
    OnUpdate,
    Quarterly,
    Strategy,
    StrategyStatus,
    Weekly,
)

# Monday 1 July 2024 to Monday 15 July; 4 July is a holiday.
SESSIONS = a_market(
    *("2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"),
    *("2024-07-08", "2024-07-09", "2024-07-10", "2024-07-11", "2024-07-12", "2024-07-15"),
)
MONDAY, TUESDAY, WEDNESDAY = (Weekly(weekday=n) for n in range(3))
FIVE_POINTS = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
FIFTH = DriftBand(kind=BandKind.RELATIVE, percent=Decimal(20))
POLICY = EvaluationPolicy(
    quarter_months=frozenset({1, 3, 6, 12}),
    update_waits=False,
    invest_cash_min=Decimal(10),
    buffer_percent=Decimal(0),
)
PATIENT = replace(POLICY, update_waits=True)

# 60 % of SPY at $500 and 40 % of TLT at $100, of $10,000.
WANTED = weights(SPY="60", TLT="40")
PRICES = decimals({"SPY": "500", "TLT": "100"})
BALANCED = holdings("0", SPY="12", TLT="40")
DRIFTED = holdings("0", SPY="14", TLT="30")
MONTHS_AGO = utc("2024-01-02 15:00")
NOON = utc("2024-07-09 16:00")


def enrollment(**changes: Any) -> Enrollment:
    usual = Enrollment(
        id="e1",
        shard=3,
        tenant_id="t1",
        account_id="a1",
        strategy_id="s1",
        state=EnrollmentState.ACTIVE,
        created_at=MONTHS_AGO,
        updated_at=MONTHS_AGO,
        last_rebalanced_at=MONTHS_AGO,
        evaluated_on=day("2024-07-08"),
        evaluated_version=4,
    )
    return replace(usual, **changes)


def strategy(*conditions: Condition, **changes: Any) -> Strategy:
    usual = Strategy(
        id="s1",
        tenant_id="t1",
        name="Sixty forty",
        description="",
        status=StrategyStatus.ACTIVE,
        version=4,
        updated_version=4,
        definition=Definition(
            targets=(
                AssetTarget(symbol="SPY", percent=Decimal(60)),
                AssetTarget(symbol="TLT", percent=Decimal(40)),
            ),
            conditions=conditions,
            cooldown_days=changes.pop("cooldown_days", 0),
        ),
        calendar="by hand",
        hidden=False,
        created_at=MONTHS_AGO,
        updated_at=MONTHS_AGO,
    )
    return replace(usual, **changes)


def standing(**changes: Any) -> Standing:
    """Tuesday 9 July, evaluated last on Monday: nothing is due."""
    usual = Standing(
        enrollment=enrollment(),
        strategy=strategy(),
        weights=WANTED,
        holdings=BALANCED,
        prices=PRICES,
        sessions=SESSIONS,
        session_on=day("2024-07-09"),
        now=NOON,
    )
    return replace(usual, **changes)


def dues(at: Standing, policy: EvaluationPolicy = POLICY) -> list[str]:
    """What is due, as `kind slot`."""
    verdict = evaluate(at, policy)
    assert isinstance(verdict, Evaluated)
    return [f"{due.kind} {due.slot}" for due in verdict.due]


FUNDING = "full_rebalance funding:e1"
TODAY = "full_rebalance session:2024-07-09"
UPDATE = "full_rebalance update:s1:5"
INVEST = "invest_cash session:2024-07-09"
NEVER = enrollment(last_rebalanced_at=None)
BEHIND = enrollment(evaluated_version=4)
UPDATED: dict[str, Any] = {"version": 5, "updated_version": 5}
RECENT = enrollment(last_rebalanced_at=utc("2024-07-08 15:00"))
WITH_CASH = holdings("100", SPY="12", TLT="40")

# rule, what is different, what is due
DUE: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {}, []),
    ("no condition, no rebalance", {"holdings": DRIFTED}, []),
    ("the first money", {"enrollment": NEVER}, [FUNDING]),
    (
        "the first money, however balanced, before drift",
        {"enrollment": NEVER, "strategy": strategy(FIVE_POINTS), "holdings": DRIFTED},
        [FUNDING, TODAY],
    ),
    ("the first cent", {"enrollment": NEVER, "holdings": holdings("0.01")}, [FUNDING]),
    (
        "the first money knows no cooldown",
        {"enrollment": NEVER, "strategy": strategy(cooldown_days=31)},
        [FUNDING],
    ),
    ("a calendar day", {"strategy": strategy(TUESDAY)}, [TODAY]),
    ("another calendar day", {"strategy": strategy(MONDAY)}, []),
    (
        "a calendar day that was missed",
        {"strategy": strategy(MONDAY), "enrollment": enrollment(evaluated_on=day("2024-07-05"))},
        [TODAY],
    ),
    (
        "evaluated today already",
        {"strategy": strategy(TUESDAY), "enrollment": enrollment(evaluated_on=day("2024-07-09"))},
        [],
    ),
    ("drift", {"strategy": strategy(FIVE_POINTS), "holdings": DRIFTED}, [TODAY]),
    (
        "drift, evaluated today already",
        {
            "strategy": strategy(FIVE_POINTS),
            "holdings": DRIFTED,
            "enrollment": enrollment(evaluated_on=day("2024-07-09")),
        },
        [TODAY],
    ),
    ("no drift beyond the band", {"strategy": strategy(FIVE_POINTS)}, []),
    (
        "calendar before drift",
        {"strategy": strategy(FIVE_POINTS, TUESDAY), "holdings": DRIFTED},
        [TODAY, TODAY],
    ),
    (
        "drift within the cooldown",
        {"strategy": strategy(FIVE_POINTS, cooldown_days=7), "holdings": DRIFTED, "enrollment": RECENT},
        [],
    ),
    (
        "a calendar day within the cooldown",
        {"strategy": strategy(TUESDAY, cooldown_days=7), "enrollment": RECENT},
        [],
    ),
    (
        "drift on the first day after the cooldown",
        {"strategy": strategy(FIVE_POINTS, cooldown_days=1), "holdings": DRIFTED, "enrollment": RECENT},
        [TODAY],
    ),
    (
        "drift on the last day of the cooldown",
        {"strategy": strategy(FIVE_POINTS, cooldown_days=2), "holdings": DRIFTED, "enrollment": RECENT},
        [],
    ),
    (
        "a missed day within a cooldown that has ended",
        {
            "strategy": strategy(MONDAY, cooldown_days=1),
            "enrollment": replace(RECENT, evaluated_on=day("2024-07-05")),
        },
        [],
    ),
    ("an update alone", {"strategy": strategy(**UPDATED), "enrollment": BEHIND}, []),
    (
        "an update that is a condition",
        {"strategy": strategy(OnUpdate(), **UPDATED), "enrollment": BEHIND},
        [UPDATE],
    ),
    (
        "the update has been seen",
        {"strategy": strategy(OnUpdate(), **UPDATED), "enrollment": enrollment(evaluated_version=5)},
        [],
    ),
    ("a new name is no update", {"strategy": strategy(OnUpdate(), version=5), "enrollment": BEHIND}, []),
    (
        "an update and drift share the slot of the update",
        {"strategy": strategy(OnUpdate(), FIVE_POINTS, **UPDATED), "holdings": DRIFTED, "enrollment": BEHIND},
        [UPDATE, UPDATE],
    ),
    (
        "drift after an update has the slot of the update",
        {"strategy": strategy(FIVE_POINTS, **UPDATED), "holdings": DRIFTED, "enrollment": BEHIND},
        [UPDATE],
    ),
    (
        "calendar before update",
        {"strategy": strategy(OnUpdate(), TUESDAY, **UPDATED), "enrollment": BEHIND},
        [TODAY, UPDATE],
    ),
    (
        "an update within the cooldown",
        {"strategy": strategy(OnUpdate(), cooldown_days=7, **UPDATED), "enrollment": RECENT},
        [UPDATE],
    ),
    (
        "drift within the cooldown after an update",
        {
            "strategy": strategy(FIVE_POINTS, cooldown_days=7, **UPDATED),
            "holdings": DRIFTED,
            "enrollment": RECENT,
        },
        [UPDATE],
    ),
    (
        "a calendar day within the cooldown after an update",
        {"strategy": strategy(TUESDAY, cooldown_days=7, **UPDATED), "enrollment": RECENT},
        [TODAY],
    ),
    (
        "a calendar day missed in the cooldown stays lost after an update",
        {
            "strategy": strategy(MONDAY, cooldown_days=7, **UPDATED),
            "enrollment": replace(RECENT, evaluated_on=day("2024-07-05")),
        },
        [],
    ),
    ("free cash", {"holdings": WITH_CASH}, [INVEST]),
    (
        "free cash within the cooldown",
        {"holdings": WITH_CASH, "enrollment": RECENT, "strategy": strategy(FIVE_POINTS, cooldown_days=7)},
        [INVEST],
    ),
    (
        "drift before free cash",
        {"holdings": holdings("100", SPY="14", TLT="30"), "strategy": strategy(FIVE_POINTS)},
        [TODAY, INVEST],
    ),
    ("free cash of exactly the minimum", {"holdings": holdings("10", SPY="12", TLT="40")}, []),
    ("free cash of a cent more", {"holdings": holdings("10.01", SPY="12", TLT="40")}, [INVEST]),
    (
        "cash that is the target is not free",
        {"weights": weights(SPY="57", TLT="38", cash="5"), "holdings": holdings("500", SPY="11.4", TLT="38")},
        [],
    ),
    (
        "cash above the target is free",
        {"weights": weights(SPY="57", TLT="38", cash="5"), "holdings": holdings("520", SPY="11.4", TLT="38")},
        [INVEST],
    ),
    ("a strategy of cash invests nothing", {"weights": weights(cash="100"), "holdings": holdings("500")}, []),
]


@pytest.mark.parametrize(("changes", "due"), [pytest.param(*case[1:], id=case[0]) for case in DUE])
def test_what_is_due_and_in_which_slot(changes: dict[str, Any], due: list[str]) -> None:
    assert dues(standing(**changes)) == due


NO_PRICE, HOLDS_NOTHING = Reason.NO_PRICE, Reason.NO_EQUITY
SPLIT = {"unsettled": {"TLT": "TLT splits"}}

# rule, what is different, why nothing was decided
UNDECIDED: list[tuple[str, dict[str, Any], Reason, str]] = [
    (
        "a wanted asset has no price",
        {"prices": decimals({"SPY": "500"})},
        NO_PRICE,
        "no current price for TLT",
    ),
    (
        "a held asset has no price",
        {"holdings": holdings("0", SPY="12", TLT="40", OLD="1")},
        NO_PRICE,
        "no current price for OLD",
    ),
    (
        "a line that is held and frozen has no price",
        {"frozen": frozenset({"TLT"}), "prices": decimals({"SPY": "500"})},
        NO_PRICE,
        "no current price for TLT",
    ),
    ("two prices are missing", {"prices": {}}, NO_PRICE, "no current price for SPY, TLT"),
    ("nothing is held", {"holdings": holdings("0")}, HOLDS_NOTHING, "the account holds nothing"),
    (
        "nothing but what is set aside",
        {"holdings": holdings("-20")},
        HOLDS_NOTHING,
        "the account holds nothing",
    ),
    ("what is held splits", SPLIT, Reason.CORPORATE_ACTION, "TLT splits"),
    ("it has no price either", {**SPLIT, "prices": {}}, Reason.CORPORATE_ACTION, "TLT splits"),
]


@pytest.mark.parametrize(
    ("changes", "reason", "details"), [pytest.param(*case[1:], id=case[0]) for case in UNDECIDED]
)
def test_without_prices_or_money_nothing_is_decided_and_what_is_due_stays_due(
    changes: dict[str, Any], reason: Reason, details: str
) -> None:
    at = standing(strategy=strategy(TUESDAY, OnUpdate(), FIVE_POINTS, **UPDATED), enrollment=NEVER, **changes)
    assert evaluate(at, POLICY) == NotEvaluated(reason, details)


def test_a_split_of_what_is_only_wanted_holds_up_no_evaluation() -> None:
    assert dues(standing(holdings=holdings("0", SPY="20"), **SPLIT)) == dues(
        standing(holdings=holdings("0", SPY="20"))
    )


def test_a_cause_is_a_line_for_people() -> None:
    at = standing(
        strategy=strategy(TUESDAY, OnUpdate(), FIVE_POINTS, **UPDATED),
        enrollment=enrollment(last_rebalanced_at=None, evaluated_on=day("2024-07-05")),
        holdings=holdings("2500.50", SPY="14", TLT="30"),
    )
    verdict = evaluate(at, POLICY)
    assert isinstance(verdict, Evaluated)
    # 7,000 in SPY, 3,000 in TLT and 2,500.50 in cash: 56.0 % and 24.0 %, so TLT is 16 points off.
    assert [due.cause for due in verdict.due] == [
        "first money in the account",
        "calendar rule due on 2024-07-09",
        "update to version 5",
        "absolute band of 5 %: TLT is worth $3000 of $12500.5, target 40 %",
        "free cash of $2500.5",
    ]


def test_a_breach_of_cash_is_called_cash() -> None:
    at = standing(
        strategy=strategy(FIFTH),
        weights=weights(SPY="57", TLT="38", cash="5"),
        holdings=holdings("700", SPY="11", TLT="38"),
    )
    verdict = evaluate(at, POLICY)
    assert isinstance(verdict, Evaluated)
    assert verdict.due[0].cause == "relative band of 20 %: cash is worth $700 of $10000, target 5 %"


def test_the_missed_day_is_named_by_the_cause() -> None:
    at = standing(strategy=strategy(Monthly(day=4)), enrollment=enrollment(evaluated_on=day("2024-07-02")))
    verdict = evaluate(at, POLICY)
    # The 4th is a holiday: the 3rd answered for it, and nobody looked.
    assert verdict == Evaluated(
        due=(
            Due(
                kind=RunKind.FULL_REBALANCE,
                slot="session:2024-07-09",
                cause="calendar rule due on 2024-07-03",
            ),
        )
    )


# Updates that wait for the cooldown: a setting.

COOLING: dict[str, Any] = {
    "strategy": strategy(OnUpdate(), FIVE_POINTS, cooldown_days=2, **UPDATED),
    "holdings": DRIFTED,
    "enrollment": RECENT,
}


def test_by_default_an_update_does_not_wait_for_the_cooldown() -> None:
    assert dues(standing(**COOLING), POLICY) == [UPDATE, UPDATE]
    assert not keeps_update_pending(standing(**COOLING), POLICY)


def test_as_a_setting_an_update_waits_for_the_cooldown_and_stays_pending_until_then() -> None:
    at = standing(**COOLING)
    assert dues(at, PATIENT) == []
    assert keeps_update_pending(at, PATIENT)
    after = replace(at, session_on=day("2024-07-10"))
    assert dues(after, PATIENT) == [UPDATE, UPDATE]
    assert not keeps_update_pending(after, PATIENT)


def test_an_update_of_an_account_that_was_never_rebalanced_waits_for_nothing() -> None:
    at = standing(strategy=strategy(OnUpdate(), cooldown_days=31, **UPDATED), enrollment=NEVER)
    assert dues(at, PATIENT) == [FUNDING, UPDATE]
    assert not keeps_update_pending(at, PATIENT)


def test_an_update_is_pending_until_its_version_was_evaluated() -> None:
    changed = strategy(**UPDATED)
    assert is_update_pending(enrollment(evaluated_version=4), changed)
    assert not is_update_pending(enrollment(evaluated_version=5), changed)
    assert not is_update_pending(enrollment(evaluated_version=6), changed)


# The cooldown in the market's zone: the session, the last rebalance, days, whether it is over
COOLDOWN = [
    ("the same day without a cooldown", "2024-07-09", "2024-07-09 10:00", 0, True),
    ("the day after, of one", "2024-07-09", "2024-07-08 15:59", 1, True),
    ("the day after, of two", "2024-07-09", "2024-07-08 15:59", 2, False),
    ("late in New York is not yet tomorrow", "2024-07-09", "2024-07-08 20:30", 1, True),
    ("just after midnight is", "2024-07-09", "2024-07-09 00:01", 1, False),
    ("over the weekend", "2024-07-08", "2024-07-05 12:00", 3, True),
    ("a session too early", "2024-07-05", "2024-07-03 12:00", 3, False),
]


@pytest.mark.parametrize(
    ("session_on", "ended_at", "cooldown_days", "over"),
    [pytest.param(*case[1:], id=case[0]) for case in COOLDOWN],
)
def test_the_cooldown_is_over_on_its_date_in_the_market_s_zone(
    session_on: str, ended_at: str, *, cooldown_days: int, over: bool
) -> None:
    at = standing(
        session_on=day(session_on),
        strategy=strategy(FIVE_POINTS, cooldown_days=cooldown_days),
        holdings=DRIFTED,
        enrollment=enrollment(last_rebalanced_at=new_york(ended_at), evaluated_on=day("2024-07-01")),
    )
    assert bool(dues(at)) == over


def test_before_the_first_rebalance_there_is_no_cooldown() -> None:
    assert cooldown_end(standing(enrollment=NEVER, strategy=strategy(cooldown_days=31))) is None
    assert cooldown_end(standing(enrollment=RECENT, strategy=strategy(cooldown_days=31))) == day("2024-08-08")


# Free cash.

# rule, weights, cash, in SPY, buffer percent, free
FREE = [
    ("all cash is free without a target", weights(SPY="100"), "100", "900", "0", "100"),
    ("above the target", weights(SPY="95", cash="5"), "100", "900", "0", "50"),
    ("below the target it is negative", weights(SPY="80", cash="20"), "100", "900", "0", "-100"),
    ("above the buffer", weights(SPY="100"), "100", "900", "2", "80"),
    # 98 % of 95 % is 93.1 % invested: 69 of 1,000 stay.
    ("above target and buffer", weights(SPY="95", cash="5"), "100", "900", "2", "31"),
]


@pytest.mark.parametrize(
    ("wanted", "cash", "invested", "buffer", "free"), [pytest.param(*case[1:], id=case[0]) for case in FREE]
)
def test_free_cash_is_what_lies_above_the_cash_target_and_the_buffer(
    wanted: Any, cash: str, *, invested: str, buffer: str, free: str
) -> None:
    at = standing(weights=wanted, holdings=holdings(cash, SPY=invested), prices=decimals({"SPY": "1"}))
    assert free_cash(at, Decimal(buffer)) == Decimal(free)


def test_a_frozen_line_above_its_target_makes_no_cash_free() -> None:
    at = standing(frozen=frozenset({"SPY"}), holdings=holdings("100", SPY="20", TLT="10"))
    assert free_cash(at, Decimal(0)) == 100


@pytest.mark.parametrize(
    ("minimum", "invests"), [("0", False), ("0.01", True), ("99.99", True), ("100", False)]
)
def test_investing_cash_has_a_minimum_and_can_be_switched_off(minimum: str, *, invests: bool) -> None:
    policy = replace(POLICY, invest_cash_min=Decimal(minimum))
    assert dues(standing(holdings=WITH_CASH), policy) == ([INVEST] if invests else [])


def test_the_buffer_is_not_invested() -> None:
    assert dues(standing(holdings=WITH_CASH), replace(POLICY, buffer_percent=Decimal(1))) == []


@pytest.mark.parametrize(("months", "due"), [({1, 3, 6, 12}, []), ({1, 4, 7, 10}, [TODAY])])
def test_the_months_of_a_quarterly_rule_are_a_setting(months: set[int], due: list[str]) -> None:
    policy = replace(POLICY, quarter_months=frozenset(months))
    assert dues(standing(strategy=strategy(Quarterly(day=9))), policy) == due


def test_what_is_due_becomes_a_queued_run_of_the_system() -> None:
    due = Due(kind=RunKind.INVEST_CASH, slot="session:2024-07-09", cause="free cash of $100")
    now = utc("2024-07-09 14:00")
    assert queued_run(enrollment(), due, run_id="r1", strategy_version=4, now=now) == Run(
        id="r1",
        shard=3,
        tenant_id="t1",
        account_id="a1",
        strategy_id="s1",
        strategy_version=4,
        enrollment_id="e1",
        kind=RunKind.INVEST_CASH,
        initiator=Initiator.SYSTEM,
        cause="free cash of $100",
        slot="session:2024-07-09",
        created_at=now,
        updated_at=now,
        state=RunState.QUEUED,
    )


def test_the_run_that_enrolling_makes_has_a_slot_of_its_own() -> None:
    assert enrolling_due(enrollment()).slot == "enrollment:e1"


def test_enrolling_into_an_interval_schedule_makes_the_first_run_of_the_schedule() -> None:
    due = enrolling_due(enrollment(next_due_at=NOON))
    assert due.slot == "due:e1:0:2024-07-09T16:00:00+00:00"
    assert dues(daily(next_due_at=NOON))[0] == f"full_rebalance {due.slot}"


# Interval schedules: what is due at noon of Tuesday, 9 July.


def daily(**changes: Any) -> Standing:
    return standing(enrollment=enrollment(**changes), strategy=strategy(frequency=Frequency.DAILY))


@pytest.mark.parametrize(
    ("next_due_at", "expected"),
    [
        ("2024-07-09 15:59", ["full_rebalance due:e1:0:2024-07-09T15:59:00+00:00"]),
        ("2024-07-09 16:00", ["full_rebalance due:e1:0:2024-07-09T16:00:00+00:00"]),
        ("2024-07-09 16:01", []),
        ("2024-06-01 09:00", ["full_rebalance due:e1:0:2024-06-01T09:00:00+00:00"]),
    ],
)
def test_a_schedule_is_due_from_its_instant_on_once_however_late(
    next_due_at: str, expected: list[str]
) -> None:
    assert dues(daily(next_due_at=utc(next_due_at))) == expected


def test_an_instant_means_nothing_without_a_schedule() -> None:
    due_now = enrollment(next_due_at=NOON)
    assert dues(standing(enrollment=due_now)) == []
    assert next_due(due_now, strategy(), now=NOON) == NOON


def test_a_schedule_waits_for_the_cooldown_like_every_rule() -> None:
    at = standing(
        enrollment=enrollment(next_due_at=NOON, last_rebalanced_at=utc("2024-07-08 15:00")),
        strategy=strategy(frequency=Frequency.DAILY, cooldown_days=5),
    )
    assert dues(at) == []


def test_the_schedules_run_comes_before_the_one_for_the_first_money() -> None:
    at = daily(next_due_at=NOON, last_rebalanced_at=None)
    assert dues(at) == ["full_rebalance due:e1:0:2024-07-09T16:00:00+00:00", "full_rebalance funding:e1"]


def test_with_an_interval_schedule_cash_waits_for_the_next_run() -> None:
    rich = holdings("500", SPY="12", TLT="40")
    assert dues(standing(holdings=rich)) == ["invest_cash session:2024-07-09"]
    assert dues(replace(daily(next_due_at=utc("2024-07-10 09:00")), holdings=rich)) == []


@pytest.mark.parametrize(
    ("frequency", "next_due_at", "expected"),
    [
        (Frequency.HOURLY, "2024-07-09 15:59:59", "2024-07-09 16:59:59"),
        (Frequency.DAILY, "2024-07-09 16:00", "2024-07-10 16:00"),
        (Frequency.WEEKLY, "2024-07-09 16:00", "2024-07-16 16:00"),
        (Frequency.MONTHLY, "2024-07-09 16:00", "2024-08-08 16:00"),
        # Not yet due: it stays.
        (Frequency.DAILY, "2024-07-09 16:01", "2024-07-09 16:01"),
        # Three days and an hour late: whole days on, past now.
        (Frequency.DAILY, "2024-07-06 15:00", "2024-07-10 15:00"),
        (Frequency.DAILY, "2024-07-06 16:00", "2024-07-10 16:00"),
        # The strategy got its schedule only now.
        (Frequency.WEEKLY, None, "2024-07-16 16:00"),
    ],
)
def test_a_schedule_moves_on_by_whole_intervals_past_now(
    frequency: Frequency, next_due_at: str | None, expected: str
) -> None:
    before = enrollment(next_due_at=None if next_due_at is None else utc(next_due_at))
    assert next_due(before, strategy(frequency=frequency), now=NOON) == utc(expected)
