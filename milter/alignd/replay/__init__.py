"""Judges the messages of a mail store, and counts the decisions.

It imports `mta.transaction`, `judgement`, `mailauth` and `mail`; the only files it opens are those
of the mail store. Begin with `summary.judge_stored`; `mail_store` finds and reads the messages.
"""
