"""Errors: each is in the tree of the docstring, and says in one line what is the matter."""

import inspect
import re
import traceback
from datetime import timedelta

import pytest

from tests.core.examples import day, utc
from trimtab.core import errors
from trimtab.core.errors import Problem, TrimtabError

# one of each kind, its line
LINES: list[tuple[TrimtabError, str]] = [
    (
        errors.CannotOpenDatabase("trimtab.db", "it is a folder"),
        "cannot open the database trimtab.db: it is a folder",
    ),
    (
        errors.WrongSchema("0003", "0004"),
        "the database has schema 0003, this version needs 0004: run `trimtab migrate`",
    ),
    (
        errors.WrongSchema(None, "0004"),
        "the database has no schema yet, this version needs 0004: run `trimtab migrate`",
    ),
    (errors.CannotStart("TRIMTAB_MARKET is 'XXXX'"), "TRIMTAB_MARKET is 'XXXX'"),
    (errors.Malformed("weights[0].percent", "invalid value"), "weights[0].percent: invalid value"),
    (
        errors.InvalidStrategy([Problem("a", "a: too small"), Problem("b", "b: too big")]),
        "a: too small; b: too big",
    ),
    (errors.NotFound("run", "42"), "no run 42"),
    (
        errors.IneligibleAssets({"BTCUSD": "not fractionable", "X": "not found"}),
        "asset BTCUSD is not fractionable; asset X is not found",
    ),
    (errors.StrategyNotActive("42"), "strategy 42 is not active"),
    (errors.StrategyInUse("strategy 42 is followed"), "strategy 42 is followed"),
    (errors.NothingToDelete("42"), "42 has ended already"),
    (errors.AccountNotActive("42"), "account 42 is not active"),
    (errors.AlreadyEnrolled("42"), "account 42 follows a strategy already"),
    (errors.EnrolledElsewhere("42"), "account 42 follows a strategy: leave out the weights"),
    (errors.NotEnrolled("42"), "account 42 follows no strategy: give weights"),
    (errors.RunAlreadyOpen("42"), "a run of account 42 is still open"),
    (errors.RunIsFinal("run-1"), "run run-1 is final"),
    (errors.RunTooSoon(timedelta(seconds=60)), "too soon after the last run: wait 0:01:00"),
    (errors.CorporateActionRefused("OLD is now NEW"), "OLD is now NEW"),
    (errors.InsufficientCash("42"), "account 42 does not hold that much cash"),
    (
        errors.ClockRunsForward(utc("2024-07-08 14:00")),
        "the clock shows 2024-07-08T14:00:00+00:00 and cannot be set back",
    ),
    (errors.OutsideCalendar("XNYS", day("2099-01-01")), "2099-01-01 lies outside the known sessions of XNYS"),
    (errors.Fenced(7, 3), "shard 7 was taken by another worker after epoch 3"),
    (errors.BrokerDown(), "the broker does not answer"),
    (errors.BrokerDown("no route"), "no route"),
    (errors.BrokerPartlyDown("no way", missing=frozenset({"ann"})), "no way"),
]


def kinds() -> list[type[TrimtabError]]:
    members = vars(errors).values()
    found = [each for each in members if inspect.isclass(each) and issubclass(each, TrimtabError)]
    return [each for each in found if each is not TrimtabError]


@pytest.mark.parametrize(("error", "line"), LINES, ids=str)
def test_an_error_says_in_one_line_what_is_the_matter(error: TrimtabError, line: str) -> None:
    assert str(error) == line


def test_every_error_is_in_the_tree_of_the_docstring_in_the_order_of_the_file() -> None:
    drawn = re.findall(r"^ *[├└]── (\w+) ", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [kind.__name__ for kind in kinds()]


def test_every_error_has_shown_its_line() -> None:
    assert {type(error) for error, _ in LINES} == set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_every_error_can_be_caught_as_one_of_ours_and_printed(kind: type[TrimtabError]) -> None:
    error = next(error for error, _ in LINES if type(error) is kind)
    with pytest.raises(TrimtabError) as caught:
        raise error
    assert str(error) in "".join(traceback.format_exception(caught.value))


def test_errors_with_equal_data_are_equal() -> None:
    assert errors.NotFound("run", "42") == errors.NotFound("run", "42")
    assert errors.NotFound("run", "42") != errors.NotFound("run", "43")
