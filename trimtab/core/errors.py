"""Everything that can go wrong for a reason we know.

Errors carry data, never a status code: each dialect turns them into its own answers in one table.

TrimtabError
├── CannotOpenDatabase      the database is not there or not ours
├── WrongSchema             the database is of another version
├── CannotStart             settings or surroundings forbid the start
├── Malformed               one value of a request cannot be read
├── InvalidStrategy         a strategy breaks rules; carries all problems
├── NotFound                no such thing, or not this tenant's
├── IneligibleAssets        assets that cannot be traded in fractions
├── StrategyNotActive       asked to follow or add an inactive strategy
├── StrategyInUse           asked to end a strategy that is followed or nested
├── NothingToDelete         already ended
├── AccountNotActive        the broker does not let this account trade
├── AlreadyEnrolled         the account already follows a strategy
├── EnrolledElsewhere       a run with weights for an account that follows a strategy
├── NotEnrolled             a run without weights for an account that follows none
├── RunAlreadyOpen          one open run per account
├── RunIsFinal              asked to cancel a finished run
├── RunTooSoon              asked again before the cooldown ended
├── InsufficientCash        a withdrawal of more than there is
├── CorporateActionRefused  what the paper market cannot do to an asset now
├── ClockRunsForward        the sandbox clock cannot be set back
├── OutsideCalendar         a date the calendar does not know
├── Fenced                  another worker has taken this shard
└── BrokerDown              the broker cannot be asked now
    └── BrokerPartlyDown    it could be asked about some of many things
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

_PASSWORDS = re.compile(r"((?:://|^(?!\w+://))[^:/@]*:).*(@)|([?&]password=)[^&]*")


class TrimtabError(Exception):
    """Any known failure; `str()` is one line that names the mend where there is one."""


def shown_address(url: str) -> str:
    """The address of a database as anybody may see it: without its passwords."""
    return _PASSWORDS.sub(r"\1\3…\2", url)


@dataclass
class CannotOpenDatabase(TrimtabError):
    where: str
    why: str

    def __str__(self) -> str:
        return f"cannot open the database {shown_address(self.where)}: {self.why}"


@dataclass
class WrongSchema(TrimtabError):
    found: str | None
    needed: str

    def __str__(self) -> str:
        found = f"schema {self.found}" if self.found else "no schema yet"
        return f"the database has {found}, this version needs {self.needed}: run `trimtab migrate`"


@dataclass
class CannotStart(TrimtabError):
    why: str

    def __str__(self) -> str:
        return self.why


@dataclass
class Malformed(TrimtabError):
    """`path` names the field, as the client wrote it (`weights[0].percent`)."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Problem:
    path: str
    text: str


@dataclass
class InvalidStrategy(TrimtabError):
    problems: Sequence[Problem]

    def __str__(self) -> str:
        return "; ".join(problem.text for problem in self.problems)


@dataclass
class NotFound(TrimtabError):
    noun: str
    id: str

    def __str__(self) -> str:
        return f"no {self.noun} {self.id}"


@dataclass
class IneligibleAssets(TrimtabError):
    """`reasons` by symbol, in the order in which they were named."""

    reasons: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"asset {symbol} is {why}" for symbol, why in self.reasons.items())


@dataclass
class StrategyNotActive(TrimtabError):
    id: str

    def __str__(self) -> str:
        return f"strategy {self.id} is not active"


@dataclass
class StrategyInUse(TrimtabError):
    why: str

    def __str__(self) -> str:
        return self.why


@dataclass
class NothingToDelete(TrimtabError):
    id: str

    def __str__(self) -> str:
        return f"{self.id} has ended already"


@dataclass
class AccountNotActive(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"account {self.account_id} is not active"


@dataclass
class AlreadyEnrolled(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"account {self.account_id} follows a strategy already"


@dataclass
class EnrolledElsewhere(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"account {self.account_id} follows a strategy: leave out the weights"


@dataclass
class NotEnrolled(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"account {self.account_id} follows no strategy: give weights"


@dataclass
class RunAlreadyOpen(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"a run of account {self.account_id} is still open"


@dataclass
class RunIsFinal(TrimtabError):
    run_id: str

    def __str__(self) -> str:
        return f"run {self.run_id} is final"


@dataclass
class RunTooSoon(TrimtabError):
    retry_after: timedelta

    def __str__(self) -> str:
        return f"too soon after the last run: wait {self.retry_after}"


@dataclass
class InsufficientCash(TrimtabError):
    account_id: str

    def __str__(self) -> str:
        return f"account {self.account_id} does not hold that much cash"


@dataclass
class CorporateActionRefused(TrimtabError):
    why: str

    def __str__(self) -> str:
        return self.why


@dataclass
class ClockRunsForward(TrimtabError):
    now: datetime

    def __str__(self) -> str:
        return f"the clock shows {self.now.isoformat()} and cannot be set back"


@dataclass
class OutsideCalendar(TrimtabError):
    calendar: str
    on: date

    def __str__(self) -> str:
        return f"{self.on} lies outside the known sessions of {self.calendar}"


@dataclass
class Fenced(TrimtabError):
    shard: int
    epoch: int

    def __str__(self) -> str:
        return f"shard {self.shard} was taken by another worker after epoch {self.epoch}"


@dataclass
class BrokerDown(TrimtabError):
    why: str = field(default="the broker does not answer")

    def __str__(self) -> str:
        return self.why


@dataclass
class BrokerPartlyDown(BrokerDown):
    """`answers` are those that came, by the id of what was asked about; `missing` are the others' ids."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
