"""What the check of one invariant has seen: how much, and what was broken."""

from dataclasses import dataclass, field

WITNESSES_MAX = 20


@dataclass(slots=True)
class Tally:
    """`witnesses` are the first of the broken things, one line each."""

    checked: int = 0
    broken: int = 0
    witnesses: list[str] = field(default_factory=list)

    def fail(self, witness: str) -> None:
        self.broken += 1
        if len(self.witnesses) < WITNESSES_MAX:
            self.witnesses.append(witness)
