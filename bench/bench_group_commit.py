"""How many more durable writes a second sixteen threads get when waiting writers share a commit."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from trimtab.database import SqliteDatabase, Tx

THREADS = 16
WRITES_EACH = 60
ROUNDS = 3
MUST = 1.5


def seconds(write: Callable[[int], None]) -> float:
    """Wall time for all threads to have written all their rows."""

    def work(number: int) -> None:
        for i in range(WRITES_EACH):
            write(number * WRITES_EACH + i)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    started = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - started


def insert(number: int) -> Callable[[Tx], int]:
    return lambda tx: tx.execute("INSERT INTO t (n) VALUES (:n)", n=number)


def one_round(folder: Path) -> float:
    """Writers one after the other, against writers that share commits, on the same disk."""
    db = SqliteDatabase(folder / "bench.db")
    db.write(lambda tx: tx.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)"))
    turnstile = threading.Lock()

    def alone(number: int) -> None:
        with turnstile:
            db.write(insert(number))

    ratio = seconds(alone) / seconds(lambda number: void(db.write(insert(number))))
    db.close()
    return ratio


def void(_changed: int) -> None:
    return None


def main() -> None:
    with TemporaryDirectory() as folder:
        ratios = sorted(one_round(Path(folder)) for _ in range(ROUNDS))
    print(json.dumps({"bench": "group_commit", "ratio": round(ratios[ROUNDS // 2], 2), "must": MUST}))


if __name__ == "__main__":
    main()
