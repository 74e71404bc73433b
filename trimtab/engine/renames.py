"""Assets that got another symbol: every strategy that names one gets a version that names it right.

Nothing else changes, so it is no update: nobody is rebalanced for it. Until then, plans and sweeps follow
by themselves (see `quotes.renamed`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trimtab.brokers.broker import Asset
from trimtab.core.strategy import Strategy, asset_symbols, with_symbols
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.store import strategies


def follow_renames(desk: Desk, heads: Sequence[Strategy], *, known: Mapping[str, Asset]) -> None:
    """Write the new versions; `known` are the broker's assets by the symbols that the heads name."""
    present = {symbol: asset.symbol for symbol, asset in known.items() if asset.symbol != symbol}
    hit = [head.id for head in heads if present.keys() & asset_symbols(head.definition.targets)]
    if hit:
        desk.db.write(lambda tx: _store(tx, desk, hit, present=present))


def _store(tx: Tx, desk: Desk, strategy_ids: Sequence[str], *, present: Mapping[str, str]) -> None:
    strategies.lock(tx, strategy_ids)
    now = desk.clock()
    for head in strategies.heads(tx, strategy_ids).values():
        # Read again under lock: somebody may have changed it meanwhile.
        named = sorted(present.keys() & asset_symbols(head.definition.targets))
        if not named:
            continue
        definition = replace(head.definition, targets=with_symbols(head.definition.targets, present))
        after = replace(head, version=head.version + 1, definition=definition, updated_at=now)
        log_line = f"renamed at the broker: {', '.join(f'{old} is now {present[old]}' for old in named)}"
        strategies.insert_version(tx, after, change_log=log_line)
        strategies.update_head(tx, after)
