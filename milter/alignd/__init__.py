"""alignd keeps helpdesk mail out of the DMARC trap; this docstring is the map of the package.

A module imports only from those before it in this list (a test says so):

words       ternary, domain, displayname, mailbox, message, lookup, option, settings
standards   spf, spfrecord, spfcount, dkimkey, dkim, authresults, opendkim, dmarc, rfc7489, rfc9989
judgement   author, prediction, decision, rewrite, review
advice      overlay, publication, wildcard, spfadvice, dkimadvice, advice
names       dnsdata, zone, dnsclient, dnscache, dnshealth, resolver
world       suffixes, freemail, configfile, signer, journal, judgements
telling     console, progress, report, explain, advicestory
measures    tally, metrics, exposition
shell       collected, listener, probe, session, bridge
service     childprocess, worker, monitor, supervisor
commands    command_check_config, command_domain, command_explain, command_serve, cli

The modules down to `advice` do no I/O: what they need of the world is an argument.
"""
