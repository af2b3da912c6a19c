"""Keeps the catalogues in step with the code, and compiles them: `make catalogues`."""

from tools.catalogues.catalogues import ROOT, TRANSLATED, catalogue_path, compiled, updated

for language in TRANSLATED:
    path = catalogue_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(updated(path.read_bytes() if path.exists() else b"", language))
    path.with_suffix(".mo").write_bytes(compiled(path.read_bytes(), language))
    print(path.relative_to(ROOT))
