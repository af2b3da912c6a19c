"""Values of mail: domains, mailboxes, header fields, messages, and the edits to a message.

It parses strictly and writes what reads back the same, without I/O. It is the lowest package and
imports no other of alignd. Begin with `message`; `mailbox` and `domain` hold the grammars,
`display_name` the cleaning of names.
"""
