"""Checks the setup of the relay: DNS, Postfix, sockets, resolver, limits, and the way back.

Pure but for `evidence`, which reads the machine and Postfix, and `report.file`, which saves what
was found; imports `mta.probe` (from evidence alone), `postfix`, `judgement`, `return_path`,
`config`, `mailauth` and `mail`. Begin with `examination.examine`, which calls the checks topic by
topic; `findings` is what they yield, `facts` what they look at.
"""
