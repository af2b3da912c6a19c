"""What receivers answered by SMTP, held against what alignd did with the message.

It imports `judgement`, `mailauth`, `mail`, and of the ledger the values that are recorded.
`file`, `journal` and `state` read a log and keep the place, `reading` goes on there; all else is
pure. Begin with `join`, which takes one log entry after the other and returns what is to be told;
`patterns` has the replies that are known, `outbox` what waits for the ledger.
"""
