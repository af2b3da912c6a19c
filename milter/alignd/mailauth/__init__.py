"""The standards of mail authentication: SPF, DKIM, DMARC and Authentication-Results.

It says what a receiver would say, and nothing of what alignd does about it. It imports `mail`
alone and does no I/O: DNS is an argument, the `Lookup` of `dns`, and a failed lookup is a value.
Begin with `dmarc` and the two ways to find a policy, `rfc7489` and `rfc9989`; then `spf`, which
evaluates by `spf_check`, and `spf_record`, which edits records; then `dkim`, with a signature's
field (`dkim_signature`), body (`dkim_body`) and key (`dkim_key`); and `authentication_results`.
"""
