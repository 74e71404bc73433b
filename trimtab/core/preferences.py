"""How orders may be executed, as a strategy or a whole tenant prefers it.

Each value is None where nothing is preferred. A strategy's own preference wins over its tenant's
(Glider's page on strategy preferences).
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """`slippage_bps`: the most an execution may be worse than the plan's price. `impact_bps`: the most
    an order may move the market. `threshold`: the smallest order, in dollars.
    """

    slippage_bps: int | None = None
    impact_bps: int | None = None
    threshold: Decimal | None = None

    def or_else(self, wider: "Preferences") -> "Preferences":
        """These, and what `wider` prefers wherever these prefer nothing."""
        return Preferences(
            slippage_bps=wider.slippage_bps if self.slippage_bps is None else self.slippage_bps,
            impact_bps=wider.impact_bps if self.impact_bps is None else self.impact_bps,
            threshold=wider.threshold if self.threshold is None else self.threshold,
        )


NO_PREFERENCES = Preferences()
