"""Runs a test with every case that can run at its speed."""

import pytest

from tests.lab import places
from tests.support.case import Case, Speed, load_cases

CASES: tuple[Case, ...] = load_cases(places.CASES)


def every_case(speed: Speed) -> pytest.MarkDecorator:
    """Mark a test that takes a *case*: it runs with every case that can run at *speed*."""
    cases = [pytest.param(case, id=case.name) for case in CASES if speed in case.speeds]
    return pytest.mark.parametrize("case", cases)
