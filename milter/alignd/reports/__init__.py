"""DMARC aggregate reports: finds, unpacks and reads them, and says who sent them.

Everything here is a stranger's: what is read is bounded, and what is wrong is a value. It imports
`ledger`, `mail_store`, `judgement`, `config`, `mailauth` and `mail`; `document` alone knows lxml,
and opens nothing. `intake` and `imap` alone do I/O. Begin with `collect`, which takes what
`intake` has found, has `read` read it, and adds it to the `summary`. `joined` holds what a ledger
keeps of all reports against what was predicted, by the answers in `receivers`.
"""
