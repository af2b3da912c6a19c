"""The budget of questions, and whose fault it is that DNS does not answer."""

from itertools import product

import pytest

from alignd.ledger.watch.look import Questions
from alignd.ledger.watch.looking import Outcome
from alignd.ledger.watch.watcher import DnsHealth
from alignd.telemetry.words import LookResult


def test_questions_keep_to_their_budget() -> None:
    questions = Questions(10.0)
    for _ in range(25):
        questions.asked()
    assert questions.take_seconds() == pytest.approx(2.5)
    assert questions.take_seconds() == 0.0


def test_dns_is_bad_here_when_most_domains_say_nothing() -> None:
    health = DnsHealth()
    for number in range(4):
        health.note(f"d{number}", is_unknown=True)
    assert not health.is_bad  # of few, little can be said
    health.note("d4", is_unknown=True)
    assert health.is_bad
    for number in range(5, 10):
        health.note(f"d{number}", is_unknown=False)
    assert not health.is_bad


def test_one_silent_domain_that_is_asked_again_and_again_is_one() -> None:
    health = DnsHealth()
    for number, _ in product(range(5), range(10)):
        health.note(f"d{number}", is_unknown=False)
        health.note("silent", is_unknown=True)
    assert not health.is_bad


def test_metrics_have_the_words_of_what_comes_of_a_look() -> None:
    assert {each.value for each in Outcome} == {each.value for each in LookResult}
