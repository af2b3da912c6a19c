"""Renders templates in each language; what is not Markup is escaped, what is missing an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alignd.languages.language import Language
from alignd.languages.texts import Texts


class Renderer:
    """Renders the templates of the page."""

    def __init__(self, texts: Mapping[Language, Texts]) -> None:
        self._environments = {
            language: _environment(own, tuple(texts)) for language, own in texts.items()
        }

    def render(self, template: str, language: Language, **values: Any) -> str:
        """*template* in *language*, with these values."""
        return self._environments[language].get_template(template).render(values)


def address(path: str, query: Mapping[str, object] | None = None) -> str:
    """The URL of *path* on this site, with the fields of *query* that are not empty."""
    fields = {name: value for name, value in (query or {}).items() if value not in ("", None)}
    return quote(path) + (f"?{urlencode(fields)}" if fields else "")


def _environment(texts: Texts, languages: tuple[Language, ...]) -> Environment:
    environment = Environment(
        loader=PackageLoader("alignd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(
        text=texts.text,
        plural=texts.plural,
        number=texts.number,
        date=texts.date,
        language=texts.language,
        languages=languages,
        address=address,
        Markup=Markup,
    )
    return environment
