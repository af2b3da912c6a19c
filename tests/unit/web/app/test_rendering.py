"""Templates: what DNS says is escaped, what is missing is an error, and every address is whole."""

import pytest
from jinja2 import UndefinedError

from alignd.languages.language import Language
from alignd.web.app.rendering import Renderer, address
from tests.support.languages import TEXTS

PAGE = {"link": address, "language_links": [], "carried": {}, "is_share": False, "here": ""}
HOSTILE = "<script>alert('1')</script>\"&{{ 7 * 7 }}"


def test_what_is_shown_is_escaped() -> None:
    renderer = Renderer(TEXTS)
    text = renderer.render(
        "message.html", Language.EN, title=HOSTILE, sentence=HOSTILE, detail=HOSTILE, **PAGE
    )
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34;&amp;{{ 7 * 7 }}") == 4


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Renderer(TEXTS).render("message.html", Language.EN, **PAGE)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        pytest.param("/", {}, "/", id="nothing"),
        pytest.param("/", {"a": "", "b": "x y"}, "/?b=x+y", id="empty-fields-are-left-out"),
        pytest.param("/domains/a?b#c/%2e", {}, "/domains/a%3Fb%23c/%252e", id="a-path"),
        pytest.param("/x", {"a": '"><&'}, "/x?a=%22%3E%3C%26", id="what-html-would-take"),
        pytest.param("/münchen", {}, "/m%C3%BCnchen", id="letters-beyond-ascii"),
    ],
)
def test_an_address_is_a_path_and_a_query(path: str, query: dict[str, str], expected: str) -> None:
    assert address(path, query) == expected
