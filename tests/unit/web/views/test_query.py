"""What a URL asks of the list."""

from hypothesis import given
from hypothesis import strategies as st

from alignd.web.listing import MAX_SEARCH, Column, Wanted
from alignd.web.views.query import GENERAL, begins_descending, query_of, wanted_of

words = st.text(min_size=1, max_size=MAX_SEARCH).filter(lambda text: text != GENERAL)


@given(
    st.builds(
        Wanted,
        state=st.text(max_size=20),
        tenant=st.none() | st.just("") | words,
        search=st.text(max_size=MAX_SEARCH),
        column=st.sampled_from(Column),
        is_descending=st.booleans(),
        page=st.integers(1, 999_999),
    )
)
def test_what_is_wanted_comes_back_from_its_query(wanted: Wanted) -> None:
    assert wanted_of(query_of(wanted)) == wanted


@given(st.dictionaries(st.sampled_from(["state", "tenant", "search", "sort", "page"]), st.text()))
def test_whatever_is_asked_something_is_wanted(query: dict[str, str]) -> None:
    wanted = wanted_of(query)
    assert 1 <= wanted.page < 10**6
    assert len(wanted.search) <= MAX_SEARCH


def test_nothing_asks_for_all_with_the_most_messages_first() -> None:
    assert query_of(Wanted()) == {}
    assert wanted_of({}) == Wanted()


def test_the_first_click_on_a_number_shows_the_most() -> None:
    assert begins_descending(Column.MESSAGES)
    assert not begins_descending(Column.DOMAIN)
