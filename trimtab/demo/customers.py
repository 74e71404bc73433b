"""The accounts of the demo: who starts when, with how much, and when more money comes.

Everything follows from an account's number, so that every demo is the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.money import CENT_PLACES, round_down
from trimtab.demo.strategies import RECIPES

START_MIN = Decimal(2_000)
START_RATIO = Decimal(500)
ENROLMENT_SESSIONS = 10
# Two years of 252 sessions.
DEPOSIT_EVERY = 504
DEPOSIT_PERCENTS = (3, 4, 5)
SAMPLED_PER_STRATEGY = 5
# Steps without a common divisor with what they wrap around: neighbours are spread, nobody is left out.
ENROLMENT_STEP = 7
DEPOSIT_STEP = 37


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """`recipe` is an index in RECIPES, sessions are counted from 0, amounts are dollars.

    `deposit_session` counts within each two years of 252 sessions.
    """

    number: int
    recipe: int
    start: Decimal
    deposit: Decimal
    enrolls_in: int
    deposit_session: int

    def deposits_in(self, session: int) -> bool:
        """Whether this is the customer's session for a deposit."""
        return session > self.enrolls_in and session % DEPOSIT_EVERY == self.deposit_session


def make_customers(count: int) -> tuple[Customer, ...]:
    """From $2,000 to $1,000,000, spread so that each is larger than the last by the same factor."""
    return tuple(_customer(number, count) for number in range(count))


def _customer(number: int, count: int) -> Customer:
    share = Decimal(number) / Decimal(max(1, count - 1))
    start = round_down(START_MIN * START_RATIO**share, CENT_PLACES)
    percent = DEPOSIT_PERCENTS[number // len(RECIPES) % len(DEPOSIT_PERCENTS)]
    return Customer(
        number=number,
        recipe=number % len(RECIPES),
        start=start,
        deposit=round_down(start * percent / 100, CENT_PLACES),
        enrolls_in=number * ENROLMENT_STEP % ENROLMENT_SESSIONS,
        deposit_session=number * DEPOSIT_STEP % DEPOSIT_EVERY,
    )


def sampled(customers: Sequence[Customer]) -> Iterable[Customer]:
    """A few of each strategy, from the smallest to the largest."""
    for recipe in range(len(RECIPES)):
        following = [customer for customer in customers if customer.recipe == recipe]
        last = len(following) - 1
        chosen = {last * i // (SAMPLED_PER_STRATEGY - 1) for i in range(SAMPLED_PER_STRATEGY)}
        yield from (following[i] for i in sorted(chosen) if following)
