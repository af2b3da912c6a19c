"""alignd keeps helpdesk mail out of the DMARC trap; this docstring is the map of the package.

A module imports only from those before it in this list (a test says so):

words       ternary, domain, displayname, mailbox, message, lookup, option, settings
standards   spf, dkimkey, dkim, authresults, opendkim, dmarc, rfc7489, rfc9989
judgement   author, prediction, decision, reasons, rewrite, review
names       dnsdata, zone, dnsclient, dnscache, dnshealth, resolver
world       suffixes, freemail, configfile, signer, journal, judgements, corpus
shell       console, terminal, program, report, explain, collected, replay, listener, probe,
            session, bridge
service     worker, supervisor
commands    command_check_config, command_explain, command_replay, command_reasons,
            command_serve, cli

The modules down to `review` do no I/O: what they need of the world is an argument.
"""
