"""The standards of mail authentication: SPF, DKIM, DMARC and Authentication-Results.

It says what a receiver would say, and nothing of what alignd does about it. It imports `mail`
alone and does no I/O: DNS is an argument, the `Lookup` of `dns`, and a failed lookup is a value.
Begin with `dmarc` and the two ways to find a policy, `rfc7489` and `rfc9989`; then `spf`, which
evaluates by `spf_check`, and `spf_record`, which edits records; `dkim`, with the field
(`dkim_signature`), the body (`dkim_body`) and the key (`dkim_key`) of a signature; and
`authentication_results`.
"""
