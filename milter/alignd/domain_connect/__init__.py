"""Domain Connect: a link with which a customer's DNS host publishes the relay's records.

The protocol is draft-ietf-dconn-domainconnect-03. Begin with `discovery`, which finds out whether
the DNS host of a domain takes part and knows our template; `template` makes that, `link` the
signed link to apply it, and `key_record` the records of the public key. `https` alone reaches the
network, through `address_check`: a stranger's DNS says where to. Imports `config`, `mailauth` and
`mail`; reads its key file as `return_path` reads its own, and limits time as `ledger.notify` does.
"""
