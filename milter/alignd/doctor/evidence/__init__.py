"""Reads what `alignd doctor` examines: this machine, and Postfix through postconf(1).

All that `doctor` reads of the machine; imports the values of `doctor.facts`, `mta.probe` and
`postfix`, and changes nothing. Begin with `machine` for addresses, socket and limits, `postconf`
for Postfix.
"""
