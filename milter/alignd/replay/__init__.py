"""Judges the messages of a mail store, and counts the decisions.

It imports `mta.transaction`, `mail_store`, `judgement`, `mailauth` and `mail`, and opens no file.
Begin with `summary.judge_stored`; `mail_store.messages` finds and reads the messages.
"""
