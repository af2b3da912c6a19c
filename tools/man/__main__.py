"""Writes the manual pages from the program, its options and its reasons: `make man`."""

from tools.man.pages import ROOT, pages

for name, text in pages().items():
    (ROOT / "man" / name).write_text(text)
