"""Enrolment: two stages, for an account of the broker and for a wallet, and what repeats mean."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import cast
from uuid import uuid4

import pytest

from tests.api.glider.client import (
    NO_PREFERENCES,
    PORTFOLIO_ID,
    SOME_SIGNATURE,
    Glider,
    Json,
    assert_success,
    new_wallet,
    paper_account,
    sign,
    some_strategy_id,
    uuid_of,
    values,
    wallet_account,
    wallet_first_stage,
)
from tests.api.world import SUBSCRIPTIONS, make_key

SIGNATURE = "/enroll/signature"
ENROLL = "/enroll"
CHAINS = [1, 10, 56, 137, 8453, 42161]
RAW = re.compile(r"0x[0-9a-f]{64}")
RACERS = 12


def stage_1(owner: str, strategy_id: str, chains: list[int] | None = None) -> dict[str, Json]:
    return {"ownerAccountId": owner, "strategyId": strategy_id, "chainIds": chains or []}


# An account of the broker.


def test_an_account_of_the_broker_is_enrolled_in_two_stages(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account("400"), glider.strategy()
    owner = paper_account(account_id)
    told = glider.post(SIGNATURE, stage_1(owner, strategy_id))
    assert {"message", "agentAccountId", "accountIndex", "flowId"} <= set(told)
    assert set(told["message"]) == {"kind", "raw"}
    assert told["message"]["kind"] == "ecdsa"
    assert RAW.fullmatch(told["message"]["raw"])
    assert told["agentAccountId"].startswith("trimtab:paper:")
    assert told["accountIndex"] == "0"
    assert re.fullmatch(r"flow_[A-Za-z0-9_-]+", told["flowId"])
    assert glider.page("/portfolios") == ([], None)
    assert glider.world.get(SUBSCRIPTIONS)["subscriptions"] == []

    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    body = stage_1(owner, strategy_id) | given | {"signature": SOME_SIGNATURE, "portfolioName": "N"}
    made = glider.post(ENROLL, body, expect=201)
    assert PORTFOLIO_ID.fullmatch(made["portfolioId"])
    assert made == {
        "portfolioId": made["portfolioId"],
        "portfolioName": "N",
        "strategyId": strategy_id,
        "smartAccounts": [{"accountId": owner}],
    }
    shown = glider.detail(made["portfolioId"])
    assert (shown["ownerAccountId"], shown["smartAccounts"]) == (owner, [{"accountId": owner}])
    assert shown["schedule"]["nextDueAt"] == glider.now()
    (subscription,) = glider.world.get(SUBSCRIPTIONS)["subscriptions"]
    assert (subscription["id"], subscription["account_id"]) == (uuid_of(made["portfolioId"]), account_id)


def test_enrolling_queues_the_first_run_at_once(glider: Glider) -> None:
    portfolio_id = glider.portfolio("400")
    (run,) = glider.runs(portfolio_id)
    assert (run["status"], run["type"], run["initiated_from"]) == ("QUEUED", "full_rebalance", "system")
    glider.world.settle()
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "1"}
    assert [run["status"] for run in glider.runs(portfolio_id)] == ["COMPLETED_SUCCESS"]


def test_the_first_money_of_an_unfunded_portfolio_makes_a_full_rebalance(glider: Glider) -> None:
    portfolio_id = glider.portfolio("0", SPY="40", TLT="60")
    account_id = glider.account_of(portfolio_id)
    glider.world.settle()
    assert glider.world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")]
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] is None
    glider.world.later(minutes=5)
    glider.world.pay_in(account_id, "1000")
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "6"}
    assert glider.world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")] * 2
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == glider.now()
    glider.world.settle()
    assert len(glider.runs(portfolio_id)) == 2


def test_later_money_waits_for_its_interval(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    account_id = glider.account_of(portfolio_id)
    glider.world.pay_in(account_id, "400")
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "400", "SPY": "1"}
    glider.world.later(days=1)
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "2"}


@pytest.mark.parametrize("chains", [[], [1], [8453, 10], [999_999], [0]])
def test_an_account_of_the_broker_has_no_chains(glider: Glider, chains: list[int]) -> None:
    owner = paper_account(glider.world.account())
    body = stage_1(owner, glider.strategy()) | {"chainIds": chains}
    told = glider.post(SIGNATURE, body)
    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    made = glider.post(ENROLL, body | given | {"signature": SOME_SIGNATURE}, expect=201)
    assert made["smartAccounts"] == [{"accountId": owner}]


# A wallet.


def enrolled(glider: Glider, body: Json) -> Json:
    return glider.post(ENROLL, body, expect=201)


def test_a_wallet_is_enrolled_with_one_account_for_each_chain(glider: Glider) -> None:
    wallet, strategy_id = new_wallet(), glider.strategy()
    chains = [8453, 10, 137]
    body = wallet_first_stage(glider, wallet, strategy_id=strategy_id, chains=chains)
    assert re.fullmatch(r"eip155:0:0x[0-9a-f]{40}", cast("str", body["agentAccountId"]))
    made = enrolled(glider, body | {"portfolioName": "Wallet"})
    accounts = [each["accountId"] for each in made["smartAccounts"]]
    assert sorted(account.rsplit(":", 1)[0] for account in accounts) == sorted(f"eip155:{c}" for c in chains)
    assert all(re.fullmatch(r"eip155:\d+:0x[0-9a-f]{40}", account) for account in accounts)
    shown = glider.detail(made["portfolioId"])
    assert shown["ownerAccountId"] == wallet_account(wallet).lower()
    assert shown["smartAccounts"] == made["smartAccounts"]

    account_id = glider.account_of(made["portfolioId"])
    assert glider.world.held(account_id) == {"cash": "0"}
    glider.world.worth[account_id] = Decimal(0)
    glider.world.settle()
    glider.world.pay_in(account_id, "400")
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "1"}
    positions = glider.get(f"/portfolios/{made['portfolioId']}/positions")
    assert positions["smartAccounts"] == made["smartAccounts"]
    assert {row["smartAccountId"] for row in positions["assets"]} <= set(accounts)


@pytest.mark.parametrize("chain", CHAINS)
def test_each_chain_that_is_known_may_be_asked_for(glider: Glider, chain: int) -> None:
    body = wallet_first_stage(glider, new_wallet(), strategy_id=glider.strategy(), chains=[chain])
    (account,) = enrolled(glider, body)["smartAccounts"]
    assert account["accountId"].startswith(f"eip155:{chain}:0x")


@pytest.mark.parametrize("chains", [[999], [8453, 999], [0], [-1], [11155111]])
def test_a_chain_that_is_not_known_is_refused_with_those_that_are(glider: Glider, chains: list[int]) -> None:
    body = stage_1(wallet_account(new_wallet()), glider.strategy(), chains)
    refusal = glider.refused("POST", SIGNATURE, body, expect=400)
    assert refusal.code == "API_400"
    said = " ".join(refusal.details)
    assert [chain for chain in CHAINS if not re.search(rf"\b{chain}\b", said)] == []


def test_the_index_is_peeked_and_not_reserved(glider: Glider) -> None:
    wallet, strategy_id = new_wallet(), glider.strategy()
    first = wallet_first_stage(glider, wallet, strategy_id=strategy_id)
    second = wallet_first_stage(glider, wallet, strategy_id=strategy_id)
    assert (first["accountIndex"], second["accountIndex"]) == ("0", "0")
    assert first["flowId"] != second["flowId"]
    one = enrolled(glider, first)
    refusal = glider.refused("POST", ENROLL, second, expect=409)
    assert refusal.code == "API_202"
    third = wallet_first_stage(glider, wallet, strategy_id=strategy_id)
    assert third["accountIndex"] == "1"
    two = enrolled(glider, third)
    assert two["portfolioId"] != one["portfolioId"]
    assert two["smartAccounts"] != one["smartAccounts"]
    assert len(glider.page("/portfolios", ownerAccountId=wallet_account(wallet))[0]) == 2


def test_the_accounts_of_a_wallet_are_a_tenants_own(glider: Glider, stranger: Glider) -> None:
    wallet = new_wallet()
    mine = enrolled(glider, wallet_first_stage(glider, wallet, strategy_id=glider.strategy()))
    body = wallet_first_stage(stranger, wallet, strategy_id=stranger.strategy())
    assert body["accountIndex"] == "0"
    theirs = enrolled(stranger, body)
    assert glider.account_of(mine["portfolioId"]) != stranger.account_of(theirs["portfolioId"])


def test_an_address_may_come_in_any_case_and_is_shown_in_small_letters(glider: Glider) -> None:
    wallet, strategy_id = new_wallet(), glider.strategy()
    owner = wallet_account(wallet)
    told = glider.post(SIGNATURE, stage_1(owner.lower(), strategy_id, [1]))
    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    body = stage_1(owner, strategy_id, [1]) | given | {"signature": sign(wallet, told["message"]["raw"])}
    made = enrolled(glider, body)
    assert glider.detail(made["portfolioId"])["ownerAccountId"] == owner.lower()


def test_only_the_owner_can_sign(glider: Glider) -> None:
    wallet, thief = new_wallet(), new_wallet()
    strategy_id = glider.strategy()

    def other_message(body: dict[str, Json]) -> str:
        return sign(wallet, "0x" + "11" * 32)

    def other_signer(body: dict[str, Json]) -> str:
        return cast("str", wallet_first_stage(glider, thief, strategy_id=strategy_id)["signature"])

    def other_flow(body: dict[str, Json]) -> str:
        return cast("str", wallet_first_stage(glider, wallet, strategy_id=strategy_id)["signature"])

    def changed(body: dict[str, Json]) -> str:
        signature = cast("str", body["signature"])
        digit = "0" if signature[10] != "0" else "1"
        return signature[:10] + digit + signature[11:]

    forgeries: list[Callable[[dict[str, Json]], str]] = [
        other_message,
        other_signer,
        other_flow,
        changed,
        lambda _: "0x" + "00" * 65,
        lambda _: SOME_SIGNATURE,
        lambda _: "0x" + "ff" * 65,
    ]
    for forge in forgeries:
        body = wallet_first_stage(glider, wallet, strategy_id=strategy_id)
        refusal = glider.refused("POST", ENROLL, body | {"signature": forge(body)}, expect=400)
        assert refusal.code == "API_400"
    assert glider.page("/portfolios") == ([], None)


NO_SIGNATURES: list[Json] = ["", "0x", "ab" * 65, "0x" + "ab" * 64, "0x" + "ab" * 66, "0x" + "zz" * 65]
NO_SIGNATURES += [None, 5, True, [], {}, "0x" + "ab" * 5000, "0X" + "\uff11" * 130]


@pytest.mark.parametrize("kind", ["paper", "wallet"])
def test_a_malformed_signature_is_refused_whoever_signs(glider: Glider, kind: str) -> None:
    strategy_id, account_id = glider.strategy(), glider.world.account()
    for signature in NO_SIGNATURES:
        body = (
            glider.first_stage(account_id, strategy_id)
            if kind == "paper"
            else wallet_first_stage(glider, new_wallet(), strategy_id=strategy_id)
        )
        refusal = glider.refused("POST", ENROLL, body | {"signature": signature}, expect=400)
        assert refusal.code == "API_400", signature
        assert refusal.names("signature"), signature
    assert glider.page("/portfolios") == ([], None)


def test_only_wallets_with_a_key_of_their_own_can_enrol(glider: Glider) -> None:
    body = stage_1(wallet_account(new_wallet()), glider.strategy(), [1])
    assert glider.post(SIGNATURE, body | {"accountType": "ECDSA"})["flowId"]
    for kind in values(["ERC1271", "ecdsa", "", 5, None, [], {}]):
        if kind is not None:
            refusal = glider.refused("POST", SIGNATURE, body | {"accountType": kind}, expect=400)
            assert refusal.names("accountType"), kind


# Repeats.


def test_the_same_body_is_answered_byte_for_byte_alike(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account("400"), glider.strategy())
    first = glider.call("POST", ENROLL, body, expect=201)
    glider.world.settle()
    glider.world.later(hours=23)
    for again in (body, dict(reversed(body.items()))):
        assert glider.call("POST", ENROLL, again, expect=201).content == first.content
    assert len(glider.page("/portfolios")[0]) == 1
    assert len(glider.runs(assert_success(first)["data"]["portfolioId"])) == 1


def test_a_repeat_is_answered_as_before_whatever_has_become_of_the_portfolio(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account("400"), glider.strategy())
    first = glider.call("POST", ENROLL, body, expect=201)
    portfolio_id = first.json()["data"]["portfolioId"]
    glider.patch(f"/portfolios/{portfolio_id}", {"portfolioName": "renamed"})
    assert glider.call("POST", ENROLL, body, expect=201).content == first.content
    glider.world.delete(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
    assert glider.call("POST", ENROLL, body, expect=201).content == first.content
    assert glider.page("/portfolios") == ([], None)


def test_another_body_with_the_same_flow_is_a_conflict(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account(), glider.strategy())
    first = glider.call("POST", ENROLL, body, expect=201)
    for other in (
        {"portfolioName": "N"},
        {"signature": "0x" + "cd" * 65},
        {"chainIds": [1]},
        {"ownerAccountId": paper_account(glider.world.account())},
        {"strategyId": glider.strategy()},
        {"accountIndex": "1"},
    ):
        assert glider.refused("POST", ENROLL, body | other, expect=409).code == "API_008", other
    assert glider.call("POST", ENROLL, body, expect=201).content == first.content
    assert len(glider.page("/portfolios")[0]) == 1


def test_a_failure_is_repeated_too(glider: Glider) -> None:
    wallet = new_wallet()
    good = wallet_first_stage(glider, wallet, strategy_id=glider.strategy())
    bad = good | {"signature": sign(wallet, "0x" + "22" * 32)}
    first = glider.call("POST", ENROLL, bad, expect=400)
    assert glider.call("POST", ENROLL, bad, expect=400).content == first.content
    assert glider.refused("POST", ENROLL, good, expect=409).code == "API_008"
    fresh = wallet_first_stage(glider, wallet, strategy_id=cast("str", good["strategyId"]))
    assert enrolled(glider, fresh)["portfolioId"]


def test_a_flow_is_no_use_to_another_tenant(glider: Glider, stranger: Glider) -> None:
    body = glider.first_stage(glider.world.account(), glider.strategy())
    assert stranger.refused("POST", ENROLL, body, expect=400).code == "API_400"
    assert stranger.page("/portfolios") == glider.page("/portfolios") == ([], None)
    first = glider.call("POST", ENROLL, body, expect=201)
    # Nor is the answer to it.
    assert stranger.refused("POST", ENROLL, body, expect=400).code == "API_400"
    assert glider.call("POST", ENROLL, body, expect=201).content == first.content


def test_another_key_of_the_tenant_enrols_nobody_twice(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account(), glider.strategy())
    glider.call("POST", ENROLL, body, expect=201)
    colleague = glider.with_key(make_key(glider.world.db, glider.get("/whoami")["tenantName"]).api_key)
    assert len(colleague.page("/portfolios")[0]) == 1
    assert colleague.send("POST", ENROLL, body).status_code in {201, 400, 409}
    assert len(glider.page("/portfolios")[0]) == 1


def test_of_many_second_stages_at_once_one_enrols(glider: Glider) -> None:
    wallet = new_wallet()
    strategy_id = glider.strategy()
    for body in (
        glider.first_stage(glider.world.account("400"), strategy_id),
        wallet_first_stage(glider, wallet, strategy_id=strategy_id),
    ):
        with ThreadPoolExecutor(RACERS) as pool:
            answers = list(pool.map(lambda _, sent=body: glider.send("POST", ENROLL, sent), range(RACERS)))
        made = [answer for answer in answers if answer.status_code == 201]
        assert made
        assert {answer.content for answer in made} == {made[0].content}
        for answer in answers:
            if answer.status_code != 201:
                assert (answer.status_code, answer.json()["error"]["code"]) == (409, "API_007")
        assert glider.call("POST", ENROLL, body, expect=201).content == made[0].content
    assert len(glider.page("/portfolios")[0]) == 2
    assert len(glider.world.get(SUBSCRIPTIONS)["subscriptions"]) == 2


def test_of_many_bodies_of_one_flow_at_once_one_is_taken(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account("400"), glider.strategy())
    bodies = [body | {"portfolioName": f"N{number}"} for number in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(lambda sent: glider.send("POST", ENROLL, sent), bodies))
    (made,) = [answer for answer in answers if answer.status_code == 201]
    others = {(a.status_code, a.json()["error"]["code"]) for a in answers if a is not made}
    assert others <= {(409, "API_007"), (409, "API_008")}
    (shown,) = glider.page("/portfolios")[0]
    assert shown["portfolioName"] == made.json()["data"]["portfolioName"]
    for sent, answer in zip(bodies, answers, strict=True):
        again = glider.send("POST", ENROLL, sent)
        if answer is made:
            assert again.content == made.content
        else:
            assert (again.status_code, again.json()["error"]["code"]) == (409, "API_008")


def test_of_many_flows_for_one_account_one_enrols(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account("400"), glider.strategy()
    bodies = [glider.first_stage(account_id, strategy_id) for _ in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(lambda body: glider.send("POST", ENROLL, body), bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (RACERS - 1)
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"API_202"}
    assert len(glider.page("/portfolios")[0]) == 1
    assert len(glider.world.runs(account_id)) == 1


# Flows.


def test_a_flow_that_nobody_began_is_refused(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account(), glider.strategy())
    for flow in values(["flow_unknown", "flow_", "", "x" * 10_000, str(uuid4()), None, 5, True, [], {}]):
        refusal = glider.refused("POST", ENROLL, body | {"flowId": flow}, expect=400)
        assert refusal.code == "API_400", flow
    assert glider.page("/portfolios") == ([], None)
    assert enrolled(glider, body)["portfolioId"]


def test_a_flow_lasts_a_day(glider: Glider) -> None:
    strategy_id = glider.strategy()
    early, late = (glider.first_stage(glider.world.account(), strategy_id) for _ in range(2))
    glider.world.later(hours=23, minutes=59, seconds=59)
    assert enrolled(glider, early)["portfolioId"]
    glider.world.later(seconds=2)
    refusal = glider.refused("POST", ENROLL, late, expect=400)
    assert refusal.code == "API_400"
    assert len(glider.page("/portfolios")[0]) == 1


def test_after_a_day_a_repeat_enrols_nobody_twice(glider: Glider) -> None:
    body = glider.first_stage(glider.world.account(), glider.strategy())
    first = glider.call("POST", ENROLL, body, expect=201)
    glider.world.later(hours=25)
    again = glider.send("POST", ENROLL, body)
    assert again.status_code in {400, 409} or again.content == first.content
    assert len(glider.page("/portfolios")[0]) == 1


def test_what_goes_round_must_come_back_as_it_was(glider: Glider) -> None:
    strategy_id = glider.strategy()
    for other in (
        {"agentAccountId": paper_account(str(uuid4()))},
        {"agentAccountId": "eip155:0:0x" + "12" * 20},
        {"accountIndex": "1"},
        {"accountIndex": "00"},
        {"ownerAccountId": paper_account(glider.world.account())},
        {"strategyId": glider.strategy()},
    ):
        body = glider.first_stage(glider.world.account(), strategy_id) | other
        answer = glider.send("POST", ENROLL, body)
        assert (answer.status_code, other) == (400, other)
        assert answer.json()["error"]["code"] == "API_400", other
    body = wallet_first_stage(glider, new_wallet(), strategy_id=strategy_id, chains=[1, 10])
    assert glider.refused("POST", ENROLL, body | {"chainIds": [1]}, expect=400).code == "API_400"
    assert glider.page("/portfolios") == ([], None)


def test_whoever_is_enrolled_is_not_enrolled_again(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account(), glider.strategy()
    late = glider.first_stage(account_id, strategy_id)
    portfolio_id = glider.enroll(account_id, strategy_id)
    assert glider.refused("POST", ENROLL, late, expect=409).code == "API_202"
    glider.world.delete(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
    assert glider.enroll(account_id, strategy_id) != portfolio_id


def test_an_account_that_follows_by_v1_is_enrolled_already(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account(), glider.strategy()
    late = glider.first_stage(account_id, strategy_id)
    glider.world.subscribe(account_id, uuid_of(strategy_id))
    assert glider.refused("POST", ENROLL, late, expect=409).code == "API_202"


# Strategies and accounts that are not one's own.


def test_a_strategy_that_is_not_there_is_a_bad_request_and_not_a_missing_page(
    glider: Glider, stranger: Glider
) -> None:
    private, public = glider.strategy(), glider.strategy()
    glider.patch(f"/strategies/{public}", {"isPublic": True})
    owner = paper_account(stranger.world.account("400"))
    for strategy_id in (private, some_strategy_id()):
        answer = stranger.call("POST", SIGNATURE, stage_1(owner, strategy_id), expect=400)
        error = answer.json()["error"]
        assert error["code"] == "API_400"
        assert error["message"] == f"Strategy not found or not owned by tenant: {strategy_id}"
    portfolio_id = stranger.enroll(owner.rpartition(":")[2], public)
    assert stranger.detail(portfolio_id)["strategyId"] == public
    assert glider.page("/portfolios") == ([], None)
    stranger.world.settle()
    assert stranger.world.held(owner.rpartition(":")[2]) == {"cash": "0", "SPY": "1"}


def test_a_strategy_that_became_private_between_the_stages_is_not_enrolled_in(
    glider: Glider, stranger: Glider
) -> None:
    strategy_id = glider.strategy()
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": True})
    body = stranger.first_stage(stranger.world.account(), strategy_id)
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": False})
    assert stranger.refused("POST", ENROLL, body, expect=400).code == "API_400"
    assert stranger.page("/portfolios") == ([], None)


def test_a_new_version_of_a_public_strategy_reaches_its_foreign_followers(
    glider: Glider, stranger: Glider
) -> None:
    strategy_id = glider.strategy()
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": True})
    account_id = stranger.world.account("400")
    portfolio_id = stranger.enroll(account_id, strategy_id)
    stranger.world.settle()
    tlt = {"allocation": {"assets": [{"assetId": "trimtab:paper/symbol:TLT", "weight": "100"}]}}
    glider.post(f"/strategies/{strategy_id}/versions", tlt, expect=201)
    stranger.world.later(days=1)
    stranger.world.settle()
    assert stranger.world.held(account_id) == {"cash": "0", "TLT": "4"}
    assert stranger.detail(portfolio_id)["strategyVersion"] == 2


def test_who_follows_keeps_following_when_a_strategy_becomes_private(
    glider: Glider, stranger: Glider
) -> None:
    strategy_id = glider.strategy()
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": True})
    account_id = stranger.world.account("400")
    portfolio_id = stranger.enroll(account_id, strategy_id)
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": False})
    assert stranger.detail(portfolio_id)["strategyId"] == strategy_id
    assert [each["portfolioId"] for each in stranger.page("/portfolios")[0]] == [portfolio_id]
    stranger.world.settle()
    assert stranger.world.held(account_id) == {"cash": "0", "SPY": "1"}
    stranger.refused("GET", f"/strategies/{strategy_id}", expect=404)


def test_a_wallet_needs_chains_and_each_once(glider: Glider) -> None:
    owner, strategy_id = wallet_account(new_wallet()), glider.strategy()
    for chains in ([], [1, 1], [1] * 1000):
        refusal = glider.refused("POST", SIGNATURE, stage_1(owner, strategy_id, chains), expect=400)
        assert refusal.names("chainIds")


def test_the_tenants_preferences_are_those_of_the_follower(glider: Glider, stranger: Glider) -> None:
    glider.patch("/tenant/preferences", {"swap": {"thresholdUsd": "50"}})
    assert stranger.get("/tenant/preferences") == NO_PREFERENCES
    strategy_id = glider.strategy(SPY="96", TLT="4")
    glider.patch(f"/strategies/{strategy_id}", {"isPublic": True})
    account_id = stranger.world.account("1000")
    portfolio_id = stranger.enroll(account_id, strategy_id)
    stranger.world.settle()
    assert stranger.runs(portfolio_id)[0]["skipped_orders"] == []
    assert stranger.world.held(account_id) == {"cash": "0", "SPY": "2.4", "TLT": "0.4"}


def test_a_foreign_account_answers_byte_for_byte_like_a_missing_one(glider: Glider, stranger: Glider) -> None:
    foreign, missing = glider.world.account("400"), str(uuid4())
    strategy_id = stranger.strategy()
    answers = [
        stranger.send("POST", SIGNATURE, stage_1(paper_account(account_id), strategy_id))
        for account_id in (foreign, missing)
    ]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content.replace(foreign.encode(), missing.encode()) == answers[1].content
    # Nor does it help to have begun with an account of one's own.
    bodies = [
        stranger.first_stage(stranger.world.account(), strategy_id)
        | {"ownerAccountId": paper_account(account_id)}
        for account_id in (foreign, missing)
    ]
    answers = [stranger.send("POST", ENROLL, body) for body in bodies]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content.replace(foreign.encode(), missing.encode()) == answers[1].content
    assert stranger.page("/portfolios") == ([], None)


NO_OWNERS: list[Json] = ["", "nonsense", "0x" + "12" * 20, "eip155:0:0x12", "eip155:0:" + "12" * 20]
NO_OWNERS += ["eip155:0:0x" + "zz" * 20, "eip155::0x" + "12" * 20, "eip155:8453:0x" + "12" * 20]
NO_OWNERS += ["trimtab:paper:", "trimtab:paper:nonsense", f"trimtab:other:{uuid4()}", "x" * 10_000]
NO_OWNERS += [None, 5, True, [], {}, f" trimtab:paper:{uuid4()}", "eip155:0:0x" + "12" * 20 + " "]
BAD_STAGE_1: list[tuple[str, Json]] = [
    *[("ownerAccountId", value) for value in values(NO_OWNERS)],
    *[("strategyId", value) for value in values([None, 5, True, [], {}])],
    *[("chainIds", value) for value in values([None, 5, "8453", True, {}, ["8453"], [1.5], [None], [[1]]])],
    ("chainIds", [True]),
    ("chainIds", [10**30, "x"]),
]


def test_a_bad_first_stage_is_refused_by_its_field(glider: Glider) -> None:
    good = stage_1(paper_account(glider.world.account()), glider.strategy())
    for name, value in BAD_STAGE_1:
        refusal = glider.refused("POST", SIGNATURE, good | {name: value}, expect=400)
        assert refusal.code == "API_400", (name, value)
        named = refusal.names(name) or refusal.names(f"{name}[0]") or refusal.names(f"{name}[1]")
        assert named, (name, value, refusal)
    for name in good:
        without = {each: value for each, value in good.items() if each != name}
        assert glider.refused("POST", SIGNATURE, without, expect=400).names(name)
    refusal = glider.refused("POST", SIGNATURE, {}, expect=400)
    assert all(refusal.names(name) for name in good)


def test_a_bad_second_stage_is_refused_by_its_field(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account(), glider.strategy()
    good = glider.first_stage(account_id, strategy_id)
    for name in good:
        without = {each: value for each, value in good.items() if each != name}
        refusal = glider.refused("POST", ENROLL, without, expect=400)
        assert refusal.code == "API_400"
        assert refusal.names(name), (name, refusal)
        for value in values([5, True, {}]):
            body = glider.first_stage(account_id, strategy_id) | {name: value}
            refusal = glider.refused("POST", ENROLL, body, expect=400)
            assert refusal.names(name), (name, value, refusal)
    refusal = glider.refused("POST", ENROLL, {}, expect=400)
    assert all(refusal.names(name) for name in good)
    assert glider.page("/portfolios") == ([], None)


@pytest.mark.parametrize("status", ["INACTIVE", "ACCOUNT_CLOSED"])
def test_only_an_active_account_may_be_enrolled(glider: Glider, status: str) -> None:
    account_id = glider.world.account("10")
    body = glider.first_stage(account_id, glider.strategy())
    glider.world.put(f"/sandbox/accounts/{account_id}", {"status": status})
    assert glider.refused("POST", ENROLL, body, expect=400).code == "API_400"
    assert glider.page("/portfolios") == ([], None)


def test_unknown_keys_are_ignored(glider: Glider) -> None:
    body = stage_1(paper_account(glider.world.account()), glider.strategy()) | {"referrer": "x", "chains": 5}
    told = glider.post(SIGNATURE, body)
    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    body |= {**given, "signature": SOME_SIGNATURE, "nonsense": {"a": [1]}}
    assert enrolled(glider, body)["portfolioId"]
