"""Advice for the owners of author domains: the DNS record that makes their mail pass.

Each record is made from those that are published, laid over DNS, and judged like any message
before it is shown. It imports `judgement`, `config`, `mailauth` and `mail`, and does no I/O.
Begin with `alternatives`; `spf`, with `spf_repair`, and `dkim` make the records, `publication`
lays them over DNS.
"""
