"""alignd keeps helpdesk mail out of the DMARC trap; this docstring is the map of the package.

A module imports only from those before it in this list (a test says so):

words       ternary, printable, domain, displayname, mailbox, message, lookup, option, settings,
            endpoint
standards   spf, spfrecord, spfcount, dkimkey, dkim, authresults, opendkim, dmarc, rfc7489, rfc9989
judgement   author, prediction, reasons, decision, rewrite, review, collected
advice      overlay, publication, wildcard, spfadvice, dkimadvice, advice
relay       finding, relayfacts, relaydns, milterlist, postfixconfig, chain, chaincheck,
            queuefirstcheck, outboundcheck, machinecheck, doctor
names       dnsdata, zone, dnsclient, dnscache, dnshealth, singleflight, resolver
world       suffixes, freemail, configfile, signer, journal, judgements, lookahead,
            postfixlayout, postconf, corpus
telling     console, terminal, program, report, explain, advicestory, doctorreport
measures    tally, metrics, exposition
shell       replay, listener, probe, machine, session, bridge
service     childprocess, adviser, worker, monitor, supervisor
commands    command_check_config, command_domain, command_explain, command_replay,
            command_reasons, command_serve, command_postfix_snippet, command_doctor, cli

The modules down to `doctor` do no I/O: what they need of the world is an argument.
"""
