"""Draws: the same for the same seed, apart by label, and as often as they should be."""

from collections import Counter

from tests.simulator.tape import Script, Seed, Tape


def test_a_seed_draws_the_same_every_time() -> None:
    def drawn() -> list[int]:
        tape = Tape(Seed(7))
        return [tape.choice("a", 1000) for _ in range(5)]

    assert drawn() == drawn()


def test_what_one_label_draws_does_not_change_another() -> None:
    alone, beside = Tape(Seed(7)), Tape(Seed(7))
    for _ in range(3):
        beside.choice("b", 10)
    assert [alone.choice("a", 1000) for _ in range(5)] == [beside.choice("a", 1000) for _ in range(5)]


def test_every_choice_is_about_as_frequent() -> None:
    counts = Counter(Tape(Seed(seed)).choice("a", 4) for seed in range(4000))
    assert all(900 < counts[way] < 1100 for way in range(4))


def test_something_happens_about_as_often_as_it_should() -> None:
    assert 900 < sum(Tape(Seed(seed)).happens("a", 250) for seed in range(4000)) < 1100


def test_what_has_no_rate_never_happens_and_is_not_counted() -> None:
    tape = Tape(Script({"a#0": 1}))
    assert not tape.happens("a", 0)
    assert tape.happens("a", 1)


def test_a_script_is_harmless_but_for_what_it_says() -> None:
    tape = Tape(Script({"a#1": 3, "b#0": 1}))
    assert [tape.choice("a", 5) for _ in range(3)] == [0, 3, 0]
    assert tape.happens("b", 10)
    assert not tape.happens("b", 10)
    assert tape.drawn == {"a#1": 3, "b#0": 1}
