"""The catalogues of all languages, read once."""

from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language

TEXTS = {language: load_texts(language) for language in Language}
