"""Looks at the records of author domains without waiting for their mail, and says what changed.

Begin with `looking`, which does no input or output: what becomes of a state after one more look.
"""
