"""One connection of an MTA: the milter protocol, messages in progress, cached judgements.

Imports `telemetry`, `resolver`, `judgement` and what is below; pymilter is known to `libmilter`
and `session` alone. Begin with `session.Session`, which has a method for each event, and
`transaction`, what it collects; `judgement_cache` answers, `lookahead` asks DNS beforehand.
"""
