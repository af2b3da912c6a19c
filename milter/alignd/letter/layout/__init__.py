"""Lays a letter out: as plain text, as HTML, as a draft of a mail, as a link.

It imports `languages` alone, and no other module of the letter. Begin with `blocks`.
"""
