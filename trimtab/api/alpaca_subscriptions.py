"""Subscriptions on Alpaca's wire: enrollments that have not ended."""

from trimtab.api import alpaca_requests as requests
from trimtab.api import alpaca_wire as wire
from trimtab.api.alpaca_call import READ, WRITE, Call, Command, Question, Removal
from trimtab.api.alpaca_errors import SubscriptionMissing, UnknownReference, ids_in_body
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import PAGED, cut, page_of
from trimtab.api.alpaca_shapes import Id, MalformedId, Required
from trimtab.api.alpaca_values import InvalidTradeMarker
from trimtab.core.errors import (
    AccountNotActive,
    AlreadyEnrolled,
    BrokerDown,
    Malformed,
    NotFound,
    StrategyNotActive,
)
from trimtab.engine import enrollment_actions
from trimtab.store import enrollments

SUBSCRIPTIONS = "/v1/rebalancing/subscriptions"
SUBSCRIPTION = SUBSCRIPTIONS + "/{subscription_id}"


def create_subscription(call: Call, asked: enrollment_actions.EnrollRequest, *, keep: Keep) -> None:
    with ids_in_body():
        enrollment_actions.enroll(
            call.desk,
            call.tenant_id,
            asked,
            also=lambda tx, enrollment: keep(tx, wire.subscription_out(enrollment)),
        )


def list_subscriptions(call: Call) -> wire.SubscriptionsOut:
    page = page_of(call.query)
    rows = call.desk.db.read(
        lambda tx: enrollments.page(
            tx,
            call.tenant_id,
            page=page,
            account_id=call.query["account_id"],
            strategy_id=call.query["portfolio_id"],
        )
    )
    found, token = cut(rows, page)
    return wire.SubscriptionsOut(
        subscriptions=[wire.subscription_out(enrollment) for enrollment in found], next_page_token=token
    )


def show_subscription(call: Call) -> wire.SubscriptionOut:
    enrollment = call.desk.db.read(lambda tx: enrollments.one(tx, call.tenant_id, call.id))
    if enrollment is None:
        raise NotFound("enrollment", call.id)
    return wire.subscription_out(enrollment)


def delete_subscription(call: Call) -> None:
    try:
        enrollment_actions.end_enrollment(call.desk, call.tenant_id, call.id)
    except NotFound as error:
        raise SubscriptionMissing from error


OPERATIONS = (
    Command(
        method="POST",
        path=SUBSCRIPTIONS,
        scope=WRITE,
        summary="Let an account follow a portfolio; a first run is queued",
        act=create_subscription,
        takes=requests.SUBSCRIPTION,
        gives=wire.SubscriptionOut,
        refuses=(
            Required("account_id"),
            MalformedId("account_id"),
            InvalidTradeMarker(),
            UnknownReference("account not found"),
            UnknownReference("portfolio not found"),
            AlreadyEnrolled(""),
            AccountNotActive(""),
            StrategyNotActive(""),
            BrokerDown(),
        ),
    ),
    Question(
        path=SUBSCRIPTIONS,
        scope=READ,
        summary="List subscriptions, page by page, the oldest first",
        act=list_subscriptions,
        gives=wire.SubscriptionsOut,
        query={**PAGED, "account_id": Id("account_id"), "portfolio_id": Id("portfolio_id")},
        refuses=(
            Malformed("limit", "must be between 1 and 1000"),
            Malformed("page_token", "invalid value"),
            MalformedId("account_id"),
        ),
    ),
    Question(
        path=SUBSCRIPTION,
        scope=READ,
        summary="Show a subscription",
        act=show_subscription,
        gives=wire.SubscriptionOut,
        refuses=(NotFound("enrollment", ""),),
    ),
    Removal(
        path=SUBSCRIPTION,
        scope=WRITE,
        summary="End a subscription: a queued run of it is cancelled, a started one finishes",
        act=delete_subscription,
        refuses=(SubscriptionMissing(),),
    ),
)
