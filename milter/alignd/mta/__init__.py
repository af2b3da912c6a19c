"""One connection of an MTA: the milter protocol, messages in progress, cached judgements.

Imports `telemetry`, `resolver`, `judgement` and what is below; pymilter is known to `libmilter`
and `session` alone. Begin with `session.Session`, which has a method for each event, and
`transaction`, what it collects; a `verdict.Judge` answers: `outbound_judge` from
`judgement_cache`, `return_judge` anew; `lookahead` asks DNS beforehand.
"""
