"""A world with receivers of other makers, to hear what they say of the mail that alignd lets out.

`__main__` steps into namespaces of its own and sends every case there; `places` says which
address is what, `daemons` and `stage` start everything, `signing` says what the relay signs, and
`verdict` is what came of one message. `tests/test_verifiers.py` holds that against alignd.
"""
