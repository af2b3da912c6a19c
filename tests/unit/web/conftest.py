"""The ledger of the story, made once: to make one takes longer than most tests of the page."""

import pytest

from tests.lab.ledger_rows import new_ledger


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its URL; nobody writes to it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('story') / 'ledger.sqlite'}"
    new_ledger(url).dispose()
    return url
