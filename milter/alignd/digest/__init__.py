"""The mail that tells the operator each week what happened to author domains.

It imports the layout of `letter`, the `ledger` that it asks, and what is below them. `facts` asks,
`summary` counts, `digest` says it in a language, and `sendmail`, the only one that does I/O
itself, hands it over. Begin with `digest`.
"""
