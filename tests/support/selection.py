"""Runs a test with every case that can run at its speed."""

import pytest

from tests.lab import places
from tests.support.case import Case, Speed, load_cases

CASES: tuple[Case, ...] = load_cases(places.CASES)
"""What leaves."""
RETURN_CASES: tuple[Case, ...] = load_cases(places.CASES / "return")
"""What comes back."""


def every_case(speed: Speed) -> pytest.MarkDecorator:
    """Mark a test that takes a *case*: it runs with every case that can run at *speed*."""
    return _each(CASES, speed)


def every_return_case(speed: Speed) -> pytest.MarkDecorator:
    """Mark a test that takes a *case* of what comes back, likewise."""
    return _each(RETURN_CASES, speed)


def _each(cases: tuple[Case, ...], speed: Speed) -> pytest.MarkDecorator:
    chosen = [pytest.param(case, id=case.name) for case in cases if speed in case.speeds]
    return pytest.mark.parametrize("case", chosen)
