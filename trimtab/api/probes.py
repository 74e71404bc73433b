"""Health and numbers: alive, ready, and what Prometheus wants to know."""

from collections.abc import Callable
from dataclasses import dataclass

from litestar import Litestar, Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from trimtab.api.alpaca_errors import error_response
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.core.errors import BrokerDown, TrimtabError
from trimtab.store import runs
from trimtab.store.schema_version import require_current


@dataclass(slots=True)
class Reached:
    """Whether the broker has been reached, and every account compared with it, once: until then the server is
    not ready; later it may be degraded, which `/readyz` tells and does not hide behind a failure.
    """

    needs_key: bool
    has_reconciled: Callable[[], bool]
    reached_broker: bool = False


Readiness = NamedDependency[SkipValidation[Reached]]


def probes_application(front: FrontDesk, *, needs_key: bool, has_reconciled: Callable[[], bool]) -> Litestar:
    routes = [live, ready, metrics]
    readiness = Reached(needs_key=needs_key, has_reconciled=has_reconciled)
    return sub_application(front, routes, error_response, readiness=readiness)


@get("/livez", sync_to_thread=False)
def live() -> dict[str, str]:
    return {"status": "alive"}


@get("/readyz", sync_to_thread=True)
def ready(front: Front, readiness: Readiness, request: AnyRequest) -> Response[dict[str, str]]:
    _admit(front, readiness, request)
    try:
        require_current(front.desk.db)
        now = front.desk.clock()
        for sessions in front.desk.calendars.values():
            sessions.next_open(now)
    except TrimtabError as error:
        return Response({"status": "not ready", "why": str(error)}, status_code=503)
    try:
        front.desk.broker.accounts([])
    except BrokerDown as error:
        status = "degraded" if readiness.reached_broker else "not ready"
        code = 200 if readiness.reached_broker else 503
        return Response({"status": status, "why": str(error)}, status_code=code)
    if not readiness.reached_broker and not readiness.has_reconciled():
        why = "the accounts are still being compared with the broker"
        return Response({"status": "not ready", "why": why}, status_code=503)
    readiness.reached_broker = True
    return Response({"status": "ready"})


@get("/metrics", sync_to_thread=True)
def metrics(front: Front, readiness: Readiness, request: AnyRequest) -> Response[bytes]:
    _admit(front, readiness, request)
    registry = CollectorRegistry()
    by_state = Gauge("trimtab_runs", "Runs by state", ["state"], registry=registry)
    for state, count in front.desk.db.read(runs.counts).items():
        by_state.labels(state=state.value).set(count)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _admit(front: FrontDesk, readiness: Reached, request: AnyRequest) -> None:
    """Off loopback, these need a key like everything else."""
    if readiness.needs_key:
        front.admit(request, None)
