"""The states that lives must have been in, by name: a tester that never gets there proves nothing.

Each names the tags (see Timeline.tag) that a life must have met together, and the profile that leads there.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """`tags` are all there in a life that was in this state."""

    text: str
    tags: frozenset[str]
    profile: str = "all"


def state(text: str, *tags: str, profile: str = "all") -> State:
    return State(text, frozenset(tags), profile)


CRASHES = (
    state("crash before the shard is taken", "crash before taking a shard"),
    state("crash between reading the mirror and the findings", "crash before findings"),
    state("crash before the plans are stored", "crash before plans"),
    state("crash between the plans and the intents", "crash before intents"),
    state("crash between the intents of sells and the first send", "crash before sells"),
    state("crash between the intents of buys and the first send", "crash before buys"),
    state("crash in the middle of sending sells", "crash in sells"),
    state("crash in the middle of sending buys", "crash in buys"),
    state("crash between a send and the record of its answer", "crash before what became of orders"),
    state(
        "crash before unsent intents are taken back", "crash before taking intents back", profile="nodedup"
    ),
    state("crash before a question about orders", "crash before a question about orders"),
    state("crash before a look at the account", "crash before a look at accounts"),
    state("crash before the end of runs is stored", "crash before the end of runs"),
    state("crash before the next wake-up is stored", "crash before the next time"),
    state("crash of a worker that has just started anew", "crash of a worker that has just started anew"),
    state("start with a queued run", "start with a run QUEUED"),
    state("start with a planned run", "start with a run PLANNED"),
    state("start while sells are working", "start with a run SELLING"),
    state("start while buys are working", "start with a run BUYING"),
    state("start with an order of unknown fate", "start with an order SENDING"),
    state("start with an open order", "start with an order OPEN"),
)
PAUSES = (
    state("pause between reading and the intents", "pause before intents", profile="multiworker"),
    state("pause between the intents and the sells", "pause before sells", profile="multiworker"),
    state("pause between the intents and the buys", "pause before buys", profile="multiworker"),
    state("pause between a send and its record", "pause before what became of orders", profile="multiworker"),
    state("pause before the plans are stored", "pause before plans", profile="multiworker"),
    state("pause before the end of runs is stored", "pause before the end of runs", profile="multiworker"),
    state("pause before the findings are stored", "pause before findings", profile="multiworker"),
    state("an overtaken worker tries to write", "an overtaken worker commits"),
    state("an overtaken worker is refused", "fenced"),
    state("takeover of a queued run", "takeover with a run QUEUED", profile="multiworker"),
    state(
        "takeover of a plan of which nothing is sent", "takeover with a run PLANNED", profile="multiworker"
    ),
    state("takeover of a run that sells", "takeover with a run SELLING", profile="multiworker"),
    state("takeover of a run that buys", "takeover with a run BUYING", profile="multiworker"),
    state("takeover of an order of unknown fate", "takeover with an order SENDING", profile="multiworker"),
    state("takeover with half a batch sent", "takeover in the middle of a sending", profile="multiworker"),
)
SENDINGS = (
    state("an order is refused", "sent first: Refused"),
    state("an order does not leave", "sent first: NotSent"),
    state("the fate of an order is unknown", "sent first: Unknown"),
    state("a batch leaves in part", "some orders of a sending have not left"),
    state("an intent is too old to be sent", "intent too old to be sent"),
    state("a request is lost", "request lost"),
    state("a request arrives late", "order arrives late"),
    state("a request arrives after the quarantine", "order arrives after the quarantine", profile="nodedup"),
    state("the reply to an accepted order is lost", "reply lost: Accepted"),
    state("the reply to a refused order is lost", "reply lost: Refused", profile="nodedup"),
    state("the broker is down while orders are sent", "broker down while sending"),
    state("the broker has no room", "no room"),
    state("the same order is sent again and taken", "done: second intents", "sent again: Accepted"),
    state("the same order is sent again and its fate is unknown again", "sent again: Unknown"),
    state("the same order is to be sent again and does not leave", "sent again: NotSent", profile="late"),
    state("the broker drops a duplicate", "duplicate dropped", profile="late"),
    state("an order is given up", "order ABANDONED"),
    state("an order is not shown yet when it is asked for", "an order is not shown yet"),
    state("an order is asked for that never was", "a question about an order that is not there"),
)
FILLS = (
    state("a fill arrives before the acknowledgement", "fill arrives before ack"),
    state("an order is filled in parts", "a part is filled"),
    state("an order is rejected after it was accepted", "rejected"),
    state("a price slips between plan and fill", "slippage"),
    state("fills are slow", "slow fills"),
    state("an order works until it is stopped", "never fills"),
    state("a cancel comes before any fill", "cancel before any fill"),
    state("a cancel comes after a partial fill", "cancel after a partial fill"),
    state("a cancel crosses the last fill", "cancel comes after the end of the order"),
    state("a cancel is lost", "cancel lost"),
    state("a cancel is late", "cancel late"),
    state("an older report is told", "older report"),
    state("executions are doubled and change places", "shuffled executions"),
    state("an account is shown as it was", "account shown as it was"),
    state("cash is shown later than positions", "cash late"),
    state("an order is refused: the account may not trade", "refused: account is not active"),
)
OUTAGES = (
    *(
        state(f"the call fails: {call}", f"{call} fails", profile="outage")
        for call in ("accounts", "assets", "prices", "feed", "lookup", "submit")
    ),
    *(
        state(f"the endpoint is dead: {call}", f"{call} is dead", profile="outage")
        for call in ("accounts", "assets", "prices", "feed", "lookup", "submit")
    ),
)
CLIENTS = (
    *(
        state(f"cancel of a run that is {run}", f"cancel of a run that is {run}")
        for run in ("QUEUED", "PLANNED", "SELLING", "BUYING")
    ),
    state("a cancelled run had sent orders", "ended CANCELED with orders"),
    state("a cancelled run had sent nothing", "ended CANCELED without orders"),
    *(state(f"freeze of {scope}", f"freeze of {scope}") for scope in ("an account", "a symbol", "a tenant")),
    state("freeze while a run sells", "freeze while a run is SELLING"),
    state("freeze while a run buys", "freeze while a run is BUYING"),
    state("thaw while a run sells", "thaw while a run is SELLING"),
    state("new weights while a run sells", "new weights while a run is SELLING"),
    state("the follower leaves while a run sells", "leave while a run is SELLING"),
    state("a second run is refused", "manual run: RunAlreadyOpen"),
    state("a client meets a broker that is down", "raise cash: BrokerDown"),
    state("money comes while a run sells", "transfers while a run is SELLING", "money comes"),
    state("money goes while a run buys", "transfers while a run is BUYING", "money goes"),
)
MARKETS = (
    state("a price moves beyond the collar", "price moves beyond the collar"),
    state("a leg is skipped: its price has moved", "skip PRICE_MOVED"),
    state("a leg is skipped: it has no price", "skip NO_CURRENT_PRICE"),
    state("a leg is skipped: it is frozen", "skip FROZEN"),
    state("the account is blocked in the middle", "account blocked"),
    state("a run ends with everything done", "ended COMPLETED"),
    state("a run ends with something left out", "ended COMPLETED*"),
    state("a run waits for a held account", "ended QUEUED"),
    state("a held account is released", "done: a release", profile="nodedup"),
)
RESTORES = (
    state("a copy is made while a run waits", "copied with a run QUEUED", profile="restore"),
    state("a copy is made while a run sells", "copied with a run SELLING", profile="restore"),
    state("a copy is made while a run buys", "copied with a run BUYING", profile="restore"),
    state("a copy is made with an open order", "copied with an order OPEN", profile="restore"),
    state("a copy comes back while a run sells", "restored with a run SELLING", profile="restore"),
    state("a copy comes back while a run buys", "restored with a run BUYING", profile="restore"),
    state(
        "a copy comes back with an order of unknown fate", "restored with an order SENDING", profile="restore"
    ),
    state("a restored copy is compared", "done: a comparison with the broker", profile="restore"),
    state(
        "crash while a restored copy is compared",
        "crash before a comparison with the broker",
        profile="restore",
    ),
)
ODDITIES = (
    state("the broker executes more than was ordered", "too much is executed", profile="odd"),
    state("an execution is taken back", "an execution is taken back", profile="odd"),
    state("somebody trades in the account past us", "somebody trades past us", profile="odd"),
    state("a leg is skipped: positions nobody explains", "skip POSITIONS_UNEXPLAINED", profile="odd"),
    state("a leg is skipped: a cap", "skip ORDER_OVER_LIMIT", profile="limits"),
    state("one account's answers do not come", "account in trouble"),
    state("a commit is made and nobody is told", "commit unknown"),
)
ASLEEP = "nobody is at work when the market closes"
NIGHTS = (
    state("the deadline passes and nobody is at work", ASLEEP, profile="overnight"),
    state("a run times out with orders", "ended TIMED_OUT with orders", profile="overnight"),
    state("a run times out without orders", "ended TIMED_OUT without orders", profile="overnight"),
    state("an order works on after the deadline", "start with an order OPEN", profile="overnight"),
    state("its fate is unknown after the deadline", "start with an order SENDING", profile="overnight"),
    state("suspended between the intents and the sells", "suspended before sells", profile="overnight"),
    state("an order expires at the close", "an order expires at the close", profile="overnight"),
)
STATES = (*CRASHES, *PAUSES, *SENDINGS, *FILLS, *OUTAGES, *CLIENTS, *MARKETS, *RESTORES, *ODDITIES, *NIGHTS)
"""Every named state."""


def reached(tags: frozenset[str], profile: str) -> Iterator[State]:
    """The states of a profile that a life with these tags has been in."""
    return (each for each in STATES if each.profile == profile and each.tags <= tags)
