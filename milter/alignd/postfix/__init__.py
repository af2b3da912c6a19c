"""Postfix's configuration as values: parameters, services, milters, and the lines for alignd.

Pure: imports `config`, `mailauth` and `mail`, and does no I/O; `doctor.evidence.postconf` runs
postconf(1). Begin with `chain`, which finds alignd in a Postfix; `config` and `milters` are what
it reads. `layouts` renders the files of `files/`, which `conf/postfix` is a link to.
"""
