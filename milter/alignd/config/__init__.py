"""The configuration, complete and validated before the first message.

It imports `mail` and `mailauth`. `settings` and `option_types` are pure and hold every option;
`file` and `signer` read files at start; `opendkim` parses OpenDKIM's tables; `domain_lists` wraps
the packages with public suffixes and mailbox providers. Begin with `settings`.
"""
