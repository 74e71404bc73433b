"""Planted bugs in the order protocol (reliability notes, section 2): ids, intents, answers, fates, fencing."""

from tests.simulator.plants.plant import Plant

DECIDE = "trimtab/core/decide.py"
STEPS = "trimtab/engine/steps.py"
REPORTS = "trimtab/engine/reports.py"
DOUBT = "trimtab/core/doubt.py"
RUN = "trimtab/core/run.py"
RELEASE = "trimtab/engine/release.py"

PLANTS = (
    Plant(
        number="P01",
        name="orders leave before their intents are durable",
        file=STEPS,
        old="""        sent = yield from turn.commit(_intents_of(turn, batch))
        unsent = yield from _send(turn, sent)
""",
        new="""        sent = [replace(o, sent_at=turn.now) for _, step in batch for o in step.orders]
        unsent = yield from _send(turn, sent)
        sent = yield from turn.commit(_intents_of(turn, batch))
""",
    ),
    Plant(
        number="P02",
        name="a new id for every attempt",
        file=STEPS,
        old="        return [replace(order, sent_at=turn.now) for order in allowed]\n",
        new="""        return [
            replace(order, client_order_id=turn.desk.new_id(), sent_at=turn.now) for order in allowed
        ]
""",
    ),
    Plant(
        number="P03",
        name="ids made of quantities",
        file=DECIDE,
        old="        client_order_id=order_id(run.tenant_id, run.id, leg=leg.number, generation=0),\n",
        new='        client_order_id=order_id(run.tenant_id, f"{run.id}:{notional}", leg=leg.number, generation=0),\n',
    ),
    Plant(
        number="P04",
        name="ids made of the time",
        file=DECIDE,
        old="        client_order_id=order_id(run.tenant_id, run.id, leg=leg.number, generation=0),\n",
        new='        client_order_id=order_id(run.tenant_id, f"{run.id}:{now}", leg=leg.number, generation=0),\n',
    ),
    Plant(
        number="P05",
        name="a run that goes on plans anew instead of reading its plan",
        file=DECIDE,
        old="    return _settle_orders(run, facts, now=now) or _carry_on(run, facts, plan=facts.plan, now=now)\n",
        new="""    anew = facts.plan if facts.basis is None else make_plan(facts.basis)
    return _settle_orders(run, facts, now=now) or _carry_on(run, facts, plan=anew, now=now)
""",
    ),
    Plant(
        number="P06",
        name="what the broker does not show is sent again at once, without a quarantine",
        file=DECIDE,
        old="    settled = [order for order in unknown if now >= order.sent_at + facts.quarantine]\n",
        new="    settled = list(unknown)\n",
        profile="nodedup",
    ),
    Plant(
        number="P07",
        name="sent again where duplicates are not dropped",
        file=DECIDE,
        old="    if stopping or not facts.drops_duplicates:\n",
        new="    if stopping:\n",
        profile="nodedup",
    ),
    Plant(
        number="P08",
        name="given up where duplicates are dropped",
        file=DECIDE,
        old="    if stopping or not facts.drops_duplicates:\n",
        new="    if facts.quarantine:\n",
        profile="steady",
    ),
    Plant(
        number="P09",
        name="no answer is treated as a refusal",
        file=REPORTS,
        old="""        case Unknown() | NotSent():
            return None
""",
        new="""        case NotSent():
            return None
        case Unknown(reason):
            return without_report(order, OrderState.REFUSED, reason=reason)
""",
    ),
    Plant(
        number="P10",
        name="no answer is treated as an order that was canceled",
        file=REPORTS,
        old="""        case Unknown() | NotSent():
            return None
""",
        new="""        case NotSent():
            return None
        case Unknown(reason):
            return without_report(order, OrderState.CANCELED, reason=reason)
""",
    ),
    Plant(
        number="P11",
        name="what has not left is treated as unknown",
        file=STEPS,
        old="    unsent = [order for order, outcome in answers if isinstance(outcome, NotSent)]\n",
        new="    unsent = [o for o, outcome in answers if isinstance(outcome, NotSent) and outcome is None]\n",
        profile="steady",
    ),
    Plant(
        number="P12",
        name="what does not leave a second time is forgotten",
        file=STEPS,
        old="    yield from _send(turn, (yield from turn.commit(intend)))\n",
        new="""    unsent = yield from _send(turn, (yield from turn.commit(intend)))
    yield from _take_back(turn, unsent, none_left=True)
""",
        profile="steady",
    ),
    Plant(
        number="P13",
        name="an overtaken worker goes on writing",
        file="trimtab/store/shards.py",
        old='    if row is None or row["epoch"] != epoch:\n',
        new="    if row is None:\n",
        profile="multiworker",
    ),
    Plant(
        number="P14",
        name="taking a shard does not raise its epoch",
        file="trimtab/store/shards.py",
        old='        """UPDATE shards SET epoch = epoch + 1, due_at = NULL, taken_at = :now\n',
        new='        """UPDATE shards SET epoch = MAX(epoch, 1), due_at = NULL, taken_at = :now\n',
        profile="multiworker",
    ),
    Plant(
        number="P15",
        name="a run is changed whatever its version",
        file="trimtab/store/runs.py",
        old="    current = [change for change in changes if versions[change.run.id] == change.run.version]\n",
        new="    current = [change for change in changes if change.run.id in versions]\n",
        profile="clients",
    ),
    Plant(
        number="P16",
        name="a run ends while an order is working",
        file=DECIDE,
        old="    if any(order.state.is_open for order in facts.orders):\n        return Wait(run.deadline_at,",
        new="    if any(order.state.is_open for order in facts.orders[:0]):\n        return Wait(run.deadline_at,",
    ),
    Plant(
        number="P17",
        name="buys leave while sells are working",
        file=DECIDE,
        old="    if any(order.state.is_open for order in facts.orders):\n        return Wait(run.deadline_at,",
        new="""    working = [order for order in facts.orders if order.state.is_open]
    if working and not (_unsent(plan.buys, facts) and all(o.side is Side.SELL for o in working)):
        return Wait(run.deadline_at,""",
    ),
    Plant(
        number="P18",
        name="buys leave before sells",
        file=DECIDE,
        old="""    sells = _unsent(plan.sells, facts)
    if sells:
""",
        new="""    sells = _unsent(plan.sells, facts)
    if sells and not _unsent(plan.buys, facts):
""",
    ),
    Plant(
        number="P19",
        name="nobody waits for the positions to show what was traded",
        file=DECIDE,
        old="    return None if late is None else Wait(*late)\n",
        new="    return None if late is None or facts.orders else Wait(*late)\n",
        profile="steady",
    ),
    Plant(
        number="P20",
        name="the next plan is made from positions that do not show the last run yet",
        file=DECIDE,
        old="    if facts.previous is not None:\n",
        new="    if facts.previous is not None and facts.frozen:\n",
        profile="steady",
    ),
    Plant(
        number="P21",
        name="an account in doubt is not held",
        file=STEPS,
        old="        shards.hold(tx, {case.run.account_id: step.hold for case, step in ours if step.hold})\n",
        new="",
        profile="nodedup",
    ),
    Plant(
        number="P22",
        name="a held account is released without proof",
        file=RELEASE,
        old="        if doubt(held[account_id], account.holdings, drops_duplicates=drops_duplicates) is None\n",
        new="        if account_id in held and drops_duplicates is not None\n",
        profile="nodedup",
    ),
    Plant(
        number="P23",
        name="an order that was given up is no doubt",
        file=DOUBT,
        old="    if not drops_duplicates and any(order.state is OrderState.ABANDONED for order in orders):\n",
        new="    if drops_duplicates and any(order.state is OrderState.ABANDONED for order in orders):\n",
        profile="nodedup",
    ),
    Plant(
        number="P24",
        name="a hold is never lifted",
        file=RELEASE,
        old="    if proven:\n",
        new="    if len(proven) > len(held):\n",
        profile="nodedup",
    ),
    Plant(
        number="P25",
        name="an older report undoes a newer one",
        file=REPORTS,
        old="    return state is order.state or state in ORDER_TRANSITIONS[order.state]\n",
        new="    return state is order.state or order.state is not OrderState.SENDING\n",
    ),
    Plant(
        number="P26",
        name="a partial fill is treated as the whole",
        file=REPORTS,
        old="        state=report.state if _follows(order, report.state) else order.state,\n",
        new="""        state=OrderState.FILLED
        if report.filled and order.state.is_open
        else report.state
        if _follows(order, report.state)
        else order.state,
""",
    ),
    Plant(
        number="P27",
        name="a sending that is one order long is not recorded",
        file=REPORTS,
        old="""    if news:
        yield from turn.commit(lambda tx: store(tx, turn, news))
""",
        new="""    if len(news) > 1:
        yield from turn.commit(lambda tx: store(tx, turn, news))
""",
    ),
    Plant(
        number="P28",
        name="the deadline ends a run while an order's fate is unknown",
        file=DECIDE,
        old="    unknown = [order for order in open_orders if order.state is OrderState.SENDING]\n",
        new="    unknown = [o for o in open_orders if o.state is OrderState.SENDING and not stopping]\n",
    ),
    Plant(
        number="P29",
        name="a run that is stopped does not wait for its working orders",
        file=DECIDE,
        old='    return Wait(None, "cancels are under way at the broker") if stopping and open_orders else None\n',
        new="    return None\n",
        profile="steady",
    ),
    Plant(
        number="P30",
        name="what is to stop is not canceled at the broker",
        file=STEPS,
        old="        broker.cancel(unwanted)\n",
        new="        broker.cancel(unwanted[:0])\n",
        profile="steady",
    ),
    Plant(
        number="P31",
        name="a freeze is not looked at under the lock",
        file=STEPS,
        old="        and not _is_frozen(turn, case, step.orders, frozen=frozen)\n    ]\n    free = ",
        new="    ]\n    free = ",
        profile="clients",
    ),
    Plant(
        number="P32",
        name="a run buys on in an account that somebody else trades in",
        file=DECIDE,
        old="        return _give_up(run, facts, buys=buys, plan=plan) or _submit_buys(run, facts, buys=buys, now=now)\n",
        new="        return _submit_buys(run, facts, buys=buys, now=now)\n",
        test="tests/core/test_decide.py::test_positions_that_nothing_explains_after_their_time_give_up_the_buys",
    ),
    Plant(
        number="P33",
        name="the freeze of a symbol is forgotten",
        file=STEPS,
        old="    return any(f.symbol is None for f in covering) or any(order.symbol in symbols for order in intended)\n",
        new="    return any(f.symbol is None for f in covering) or any(o.symbol in symbols for o in intended[:0])\n",
        profile="clients",
    ),
    Plant(
        number="P34",
        name="open orders of an account are ignored before a plan is made",
        file=DECIDE,
        old="    if facts.is_working:\n",
        new="    if facts.is_working and facts.frozen:\n",
        test="tests/engine/test_restores.py::test_an_open_order_of_a_forgotten_run_is_waited_for_before_the_next_plan",
    ),
)
