"""The languages that people read: English sentences, and their translations by gettext.

It alone knows gettext and Babel, and imports no other package. Begin with `texts`; `catalogues`
loads a language, `choice` chooses one. The catalogues are in `locale`; `make catalogues` keeps
them in step with the code.
"""
