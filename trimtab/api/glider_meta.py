"""Glider's operations about the API itself: which scopes there are, and who is calling."""

from trimtab.api.glider_call import Call, Operation
from trimtab.api.glider_wire import Out


class ScopeOut(Out):
    name: str
    description: str
    tier: str


class ScopesOut(Out):
    scopes: list[ScopeOut]


class WhoamiOut(Out):
    tenant_name: str
    tenant_email: str | None
    api_key_id: str
    scopes: list[str]


SCOPES = (
    ScopeOut(name="strategies:read", description="List and view strategies", tier="default"),
    ScopeOut(
        name="strategies:write",
        description="Create strategies, publish versions, change schedules and preferences",
        tier="standard",
    ),
    ScopeOut(
        name="portfolios:read",
        description="List and view portfolios, positions, performance and operations",
        tier="default",
    ),
    ScopeOut(
        name="portfolios:write",
        description="Pause, resume and rename portfolios, and trigger rebalances",
        tier="standard",
    ),
    ScopeOut(name="portfolios:withdraw", description="Withdraw and liquidate", tier="restricted"),
    ScopeOut(name="enroll:write", description="Both stages of enrolment", tier="standard"),
    ScopeOut(name="tenant:read", description="View the tenant's preferences", tier="default"),
    ScopeOut(name="tenant:write", description="Change the tenant's preferences", tier="standard"),
    ScopeOut(name="fees:read", description="View integrator fees", tier="default"),
    ScopeOut(name="fees:write", description="Change integrator fees", tier="restricted"),
)


def list_scopes(_call: Call) -> ScopesOut:
    return ScopesOut(scopes=list(SCOPES))


def whoami(call: Call) -> WhoamiOut:
    caller = call.caller
    assert caller is not None, "the route needs a key"
    return WhoamiOut(
        tenant_name=caller.tenant_name,
        # Trimtab knows no addresses of people.
        tenant_email=None,
        api_key_id=f"key_{caller.key_id}",
        scopes=sorted(caller.scopes),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v2/scopes",
        scope=None,
        summary="List the scopes a key may have",
        act=list_scopes,
        gives=ScopesOut,
        public=True,
    ),
    Operation(
        method="GET",
        path="/v2/whoami",
        scope=None,
        summary="Show whose key this is",
        act=whoami,
        gives=WhoamiOut,
    ),
)
