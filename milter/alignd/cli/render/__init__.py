"""Turns results into lines for people, JSON for scripts and rows of CSV.

Pure functions that know no option and no command: values of `judgement`, `advice`, `doctor` and
`replay` go in, lines of `cli.text`, JSON or CSV come out. Begin with `explanation`; it shares
`evidence` with `advice`.
"""
