"""Tells somebody of the events of the ledger: a webhook, a command, or both.

It may import what `ledger` may. Begin with `payload`, what is told; then `teller`, which tells a
target of each event until it has taken it.
"""
