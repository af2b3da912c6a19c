"""What people and programs ask of a ledger, in one connection that only reads; and to forget.

Begin with `overview`: the author domains, each with its state and its messages.
"""
