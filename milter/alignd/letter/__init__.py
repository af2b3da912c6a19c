"""The message to a customer's admin: what happens to the mail, and the record that changes it.

It is made of an `Advice`, and translated by `languages`. It imports both, and `judgement`,
`mailauth` and `mail` below them, and does no I/O. Begin with `letter`; `hosting` finds out who
hosts the DNS of a domain, `hosts` is what is known of them.
"""
