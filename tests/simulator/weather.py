"""What one seed has drawn: which faults there are and how hard, what kind of broker, which workers.

Every class of faults is there or not; a profile says which may be there at all. Delays of orders are
shorter than the quarantine where anything could be sent twice: that is what a quarantine is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.simulator.tape import Tape

QUARANTINE_S = 10
# How old an intent may be when its order leaves (reliability notes, section 2, step 3).
SEND_WITHIN_S = 2

# Rates per thousand, of which one is drawn.
MILD = (0, 0, 20, 100, 300)
RARE = (0, 0, 0, 10, 50)
SOMETIMES = (0, 0, 0, 1000)

FAULTS: Mapping[str, tuple[int, ...]] = {
    # Between us and the broker.
    "request lost": MILD,
    "request late": MILD,
    "reply lost": MILD,
    "no room": MILD,
    "call fails": MILD,
    "endpoint dead": SOMETIMES,
    "account in trouble": MILD,
    "cancel lost": (0, 0, 600),
    "cancel late": (0, 0, 600),
    # What the broker does and says.
    "refused": (0, 0, 50, 200),
    "rejected later": RARE,
    "filled before ack": MILD,
    "partial fills": (0, 0, 300, 1000),
    "slow fills": (0, 0, 300, 1000),
    "never fills": (0, 0, 50, 300),
    "slippage": (0, 0, 300, 1000),
    "older report": MILD,
    "shuffled executions": MILD,
    "account late": (0, 0, 0, 300),
    "cash late": (0, 0, 0, 300),
    "lookup late": MILD,
    "account blocked": SOMETIMES,
    "price gone": SOMETIMES,
    "price moves": (0, 0, 0, 300),
    "transfers": (0, 0, 300),
    "caps": SOMETIMES,
    # Our own machines.
    "crash": (0, 0, 10, 30, 60),
    "pause": (0, 0, 0, 10, 40),
    "takeover": (0, 0, 0, 100),
    "slow": (0, 0, 0, 100),
    "commit unknown": RARE,
    # What clients and operators do.
    "cancel": (0, 0, 300, 900),
    "manual run": (0, 0, 300),
    "raise cash": (0, 0, 300),
    "new weights": (0, 0, 200),
    "leave": (0, 0, 200),
    "pause enrollment": (0, 0, 200),
    "freeze": (0, 0, 300),
    "meanwhile": (0, 0, 10, 40),
    # Switched on by a profile only.
    "surfaces late": (0,),
    "restore": (0,),
    "hasty restore": (0,),
    "fill after cancel": (0,),
    "overfill": (0,),
    "bust": (0,),
    "manual order": (0,),
    "overnight": (0,),
}
"""Every class of faults with its rates; the first is none."""


SAFETY = frozenset(
    {"no order twice", "nothing without an intent", "intent before send", "nobody owes", "fencing"}
    | {"ids name legs", "legal states", "kill switch"}
)
"""The rules that hold even at a broker that breaks its word."""

UNSTEADY = frozenset(
    {
        "crash",
        "pause",
        "takeover",
        "slow",
        "commit unknown",
        "call fails",
        "endpoint dead",
        "account in trouble",
    }
)
"""What keeps our own machines from doing in time what they should."""


ODD = frozenset({"overfill", "bust", "manual order", "fill after cancel", "restore"})
"""After which what is at the broker is not what its orders and our plans say."""


class Duplicates(StrEnum):
    """What a broker does with a client order id that it knows."""

    DROPPED = "dropped"
    DROPPED_WHILE_OPEN = "dropped while open"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`rates` replace those of some classes; `rules` are those that must hold, None all."""

    name: str
    rates: Mapping[str, tuple[int, ...]]
    duplicates: tuple[Duplicates, ...] = tuple(Duplicates)
    workers: tuple[int, ...] = (1, 1, 2)
    rules: frozenset[str] | None = None

    def demands(self, rule: str) -> bool:
        return self.rules is None or rule in self.rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """`rates` are per thousand, by class; a class that is not there is left out."""

    rates: Mapping[str, int]
    duplicates: Duplicates
    workers: int
    batch: int
    tells_changes: bool
    late_s: int

    @property
    def surfaces(self) -> bool:
        """Whether orders may reach the broker after they were given up."""
        return self.late_s > QUARANTINE_S

    def rate(self, fault: str) -> int:
        return self.rates.get(fault, 0)


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="all", rates={}),
        Profile(
            name="nodedup",
            rates={"surfaces late": (0, 0, 500)},
            duplicates=(Duplicates.TAKEN, Duplicates.DROPPED_WHILE_OPEN),
        ),
        Profile(
            name="multiworker",
            rates={"pause": (20, 60), "takeover": (100, 500), "crash": (0, 20)},
            workers=(2, 3, 4),
        ),
        Profile(
            name="outage",
            rates={"call fails": (100, 500), "endpoint dead": (1000,), "no room": (0, 300)},
        ),
        Profile(name="restore", rates={"restore": (1000,), "crash": (0, 20, 60)}),
        # A broker that breaks its word on the quarantine. Nothing is ordered twice all the same.
        Profile(
            name="late",
            rates={"surfaces late": (500,), "request late": (300,)},
            duplicates=(Duplicates.DROPPED,),
            rules=SAFETY,
        ),
        # What a broker takes back, adds, or does without being asked to.
        Profile(
            name="odd",
            rates={
                "overfill": (0, 300),
                "bust": (0, 500),
                "manual order": (0, 600),
                "partial fills": (500,),
                "slow fills": (300, 1000),
            },
        ),
        Profile(
            name="latefills",
            rates={"fill after cancel": (1000,), "cancel": (900,), "slow fills": (1000,), "freeze": (300,)},
        ),
        Profile(
            name="limits",
            rates={"caps": (1000,), "price moves": (1000,), "slow": (0, 100), "pause": (0, 20)},
        ),
        Profile(
            name="clients",
            rates={"meanwhile": (100, 200), "request lost": (300,), "no room": (0, 300)},
            duplicates=(Duplicates.DROPPED, Duplicates.DROPPED, Duplicates.TAKEN),
        ),
        Profile(
            name="money",
            rates={
                **dict.fromkeys([*sorted(UNSTEADY), "account late", "cash late", "request late"], (0,)),
                "transfers": (900,),
                "slippage": (1000,),
                "slow fills": (1000,),
                "raise cash": (300,),
            },
            workers=(1,),
        ),
        Profile(
            name="steady",
            rates={
                **dict.fromkeys(sorted(UNSTEADY), (0,)),
                "account late": (0, 300, 600),
                "cash late": (0, 300, 600),
            },
            workers=(1,),
        ),
        # Nobody is at work when the market closes, and the deadline of every run passes.
        Profile(
            name="overnight",
            rates={
                "overnight": (1000,),
                "never fills": (300, 600),
                "slow fills": (300, 1000),
                "partial fills": (300, 1000),
            },
        ),
        Profile(name="hasty", rates={"restore": (1000,), "hasty restore": (1000,)}),
    )
}


def draw_weather(tape: Tape, profile: Profile) -> Weather:
    rates = {}
    for fault, usual in FAULTS.items():
        levels = profile.rates.get(fault, usual)
        rate = levels[tape.choice(f"class {fault}", len(levels))]
        if rate:
            rates[fault] = rate
    duplicates = profile.duplicates[tape.choice("duplicates", len(profile.duplicates))]
    return Weather(
        rates=rates,
        duplicates=duplicates,
        workers=profile.workers[tape.choice("workers", len(profile.workers))],
        batch=(500, 3, 2, 1)[tape.choice("batch", 4)],
        tells_changes=tape.choice("tells changes", 3) < 2,
        late_s=40 if "surfaces late" in rates else 6,
    )
