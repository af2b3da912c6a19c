"""What receivers say, held against what was predicted: over days, as shares and not as counts.

All of it is pure. `rows` is what a ledger keeps of a report; `predicted` says what was expected
of the mail that reports tell of; the others answer one question each. `reports.joined` puts the
answers together.
"""
