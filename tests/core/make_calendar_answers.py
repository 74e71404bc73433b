"""Makes data/calendar_answers.csv: on which sessions of the New York exchange each calendar rule fires.

It does not look at our code and goes the other way round: from each nominal date it walks back, day by
day, to a day that the exchange's calendar lists. Run `python -m tests.core.make_calendar_answers` to
make the file anew; it changes only if the exchange declares another holiday.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import exchange_calendars
import pandas as pd

ANSWERS = Path(__file__).parent / "data" / "calendar_answers.csv"
FIRST_YEAR, LAST_YEAR = 2008, 2030
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
DAYS = (1, 15, 28, 29, 30, 31)
DATES = ("01-01", "01-02", "02-28", "02-29", "06-19", "07-04", "09-11", "11-28", "12-25", "12-31")
QUARTERS = {"1 3 6 12": (1, 3, 6, 12), "1 4 7 10": (1, 4, 7, 10)}


def month_ends(day: int) -> Iterator[pd.Timestamp]:
    """That day of every month, or the month's end where the month is shorter."""
    for month in pd.period_range(f"{FIRST_YEAR - 1}-12", f"{LAST_YEAR + 1}-02", freq="M"):
        wanted = month.start_time + pd.Timedelta(days=day - 1)
        yield min(wanted, month.end_time.normalize())


def anniversaries(month_and_day: str) -> Iterator[pd.Timestamp]:
    for year in range(FIRST_YEAR - 1, LAST_YEAR + 2):
        exists = month_and_day != "02-29" or pd.Period(str(year)).is_leap_year
        yield pd.Timestamp(f"{year}-{month_and_day if exists else '02-28'}")


def nominal_dates() -> Iterator[tuple[tuple[str, str, str], list[pd.Timestamp]]]:
    """Each rule, as (kind, day, months), with the dates it names."""
    for weekday in WEEKDAYS:
        named = pd.date_range(
            f"{FIRST_YEAR - 1}-12-01", f"{LAST_YEAR + 1}-02-01", freq=f"W-{weekday[:3].upper()}"
        )
        yield ("weekly", weekday, ""), list(named)
    for day in DAYS:
        yield ("monthly", str(day), ""), list(month_ends(day))
        for text, months in QUARTERS.items():
            yield ("quarterly", str(day), text), [at for at in month_ends(day) if at.month in months]
    for date in DATES:
        yield ("annually", date, ""), list(anniversaries(date))


def main() -> None:
    calendar = exchange_calendars.get_calendar(
        "XNYS", start=f"{FIRST_YEAR - 2}-01-01", end=f"{LAST_YEAR + 1}-12-31"
    )
    open_days = set(calendar.sessions)
    with ANSWERS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rule", "day", "months", "year", "fires_on"])
        for rule, named in nominal_dates():
            fired: dict[int, set[str]] = defaultdict(set)
            for nominal in named:
                session = nominal
                while session not in open_days:
                    session -= pd.Timedelta(days=1)
                fired[session.year].add(session.strftime("%m-%d"))
            for year in range(FIRST_YEAR, LAST_YEAR + 1):
                writer.writerow([*rule, year, " ".join(sorted(fired[year]))])


if __name__ == "__main__":
    main()
