"""A paper market for tests: one clock that is set, two symbols with prices, short ways to order."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trimtab.brokers.broker import Accepted, OrderReport, Outcome, Refused
from trimtab.brokers.paper import PaperBroker
from trimtab.core.run import Order, OrderState, Side
from trimtab.database import Database

TABLES = (
    *("holders", "ach_relationships", "transfers", "journals"),
    *("positions", "orders", "ledger", "accounts", "assets"),
    *("corporate_actions", "former_symbols", "market"),
)
OPENING = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = OPENING

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def order(
    client_order_id: str,
    side: Side,
    *,
    symbol: str = "SPY",
    account_id: str = "ann",
    quantity: str | None = None,
    notional: str | None = None,
    worst_price: str | None = None,
    impact_bps_max: str | None = None,
) -> Order:
    return Order(
        client_order_id=client_order_id,
        run_id="run",
        leg=0,
        generation=0,
        account_id=account_id,
        symbol=symbol,
        side=side,
        quantity=None if quantity is None else Decimal(quantity),
        notional=None if notional is None else Decimal(notional),
        state=OrderState.SENDING,
        sent_at=OPENING,
        worst_price=None if worst_price is None else Decimal(worst_price),
        impact_bps_max=None if impact_bps_max is None else int(impact_bps_max),
    )


def named(*client_order_ids: str) -> list[Order]:
    """Orders to ask the paper broker about: it goes by their ids alone."""
    return [order(client_order_id, Side.BUY, notional="1") for client_order_id in client_order_ids]


@dataclass
class Market:
    """SPY costs $400, TLT $125.50; ann has $1,000 and 10 SPY, bob has $50 and nothing else."""

    db: Database
    clock: Clock = field(default_factory=Clock)
    sent: int = 0

    def __post_init__(self) -> None:
        self.broker = PaperBroker(self.db, self.clock)
        self.broker.set_prices({"SPY": Decimal(400), "TLT": Decimal("125.50")})
        self.broker.open_account("ann", "tenant", cash=Decimal(1000), positions={"SPY": Decimal(10)})
        self.broker.open_account("bob", "tenant", cash=Decimal(50), positions={})

    def send(self, sent: Order) -> Outcome:
        return self.broker.submit([sent])[0]

    def next_id(self) -> str:
        self.sent += 1
        return f"order-{self.sent}"

    def buy(self, symbol: str = "SPY", **amount: str) -> Outcome:
        return self.send(order(self.next_id(), Side.BUY, symbol=symbol, **amount))

    def sell(self, symbol: str = "SPY", **amount: str) -> Outcome:
        return self.send(order(self.next_id(), Side.SELL, symbol=symbol, **amount))

    def report(self, outcome: Outcome) -> OrderReport:
        """What the broker now says about an order that it accepted."""
        assert isinstance(outcome, Accepted), outcome
        client_order_id = outcome.report.client_order_id
        return self.broker.lookup(named(client_order_id))[client_order_id]

    def cash(self, account_id: str = "ann") -> Decimal:
        return self.broker.account(account_id).holdings.cash

    def positions(self, account_id: str = "ann") -> dict[str, Decimal]:
        return dict(self.broker.account(account_id).holdings.positions)


def fills(report: OrderReport) -> list[tuple[Decimal, Decimal]]:
    """Quantity and price of each execution."""
    return [(execution.quantity, execution.price) for execution in report.executions]


def refusal(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason
