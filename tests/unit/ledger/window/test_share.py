"""Questions get a part of a core, whoever asks."""

from alignd.ledger.window.share import ProcessorShare


def test_who_has_not_worked_for_a_while_need_not_wait() -> None:
    share = ProcessorShare(0.25, 3.0, 0.0)
    share.spend(3.0, 10.0)
    assert share.wait(10.0) == 0.0


def test_who_works_beyond_that_waits_until_it_is_a_part_of_the_time() -> None:
    share = ProcessorShare(0.25, 3.0, 0.0)
    share.spend(4.0, 0.0)
    assert share.wait(0.0) == 4.0
    assert share.wait(3.0) == 1.0
    assert share.wait(4.0) == 0.0


def test_however_long_nobody_asks_no_more_is_saved_than_may_be() -> None:
    share = ProcessorShare(0.25, 3.0, 0.0)
    assert share.wait(1e9) == 0.0
    share.spend(3.25, 1e9)
    assert share.wait(1e9) == 1.0
