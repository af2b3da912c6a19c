"""Renders templates in each language; what is not Markup is escaped, what is missing an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alignd.languages.language import Language
from alignd.languages.texts import Texts


class Renderer:
    """Renders the templates of the page."""

    def __init__(self, texts: Mapping[Language, Texts]) -> None:
        self._spoken = {language: spoken(own) for language, own in texts.items()}

    def render(self, template: str, language: Language, **values: Any) -> str:
        """*template* in *language*, with these values."""
        return _templates().get_template(template).render(self._spoken[language], **values)


def spoken(texts: Texts) -> dict[str, Any]:
    """What every template has of its language."""
    return {
        "text": texts.text,
        "plural": texts.plural,
        "language": texts.language,
    }


def new_environment(loader: BaseLoader) -> Environment:
    """What renders the templates of *loader*, none of which changes."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(address=address, Markup=Markup)
    return environment


def address(path: str, query: Mapping[str, object] | None = None) -> str:
    """The URL of *path* on this site, with the fields of *query* that are not empty."""
    fields = {name: value for name, value in (query or {}).items() if value not in ("", None)}
    return quote(path) + (f"?{urlencode(fields)}" if fields else "")


@cache
def _templates() -> Environment:
    # One for all languages and both listeners: to compile the templates takes half a second.
    return new_environment(PackageLoader("alignd.web"))
