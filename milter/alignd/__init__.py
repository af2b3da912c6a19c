"""alignd keeps helpdesk mail out of the DMARC trap; this docstring is the map of the package.

A module imports only from those before it in this list (a test says so):

words       ternary, domain, displayname, mailbox, message, lookup, option, settings, endpoint
standards   spf, dkimkey, dkim, authresults, opendkim, dmarc, rfc7489, rfc9989
judgement   author, prediction, decision, rewrite, review
relay       finding, relayfacts, relaydns, milterlist, postfixconfig, chain, chaincheck,
            queuefirstcheck, outboundcheck, machinecheck, doctor
names       dnsdata, zone, dnsclient, dnscache, dnshealth, resolver
world       suffixes, freemail, configfile, signer, journal, judgements, postfixlayout,
            postconf
shell       console, report, explain, doctorreport, collected, listener, probe, machine, session,
            bridge
service     adviser, worker, supervisor
commands    command_check_config, command_explain, command_serve, command_postfix_snippet,
            command_doctor, cli

The modules down to `doctor` do no I/O: what they need of the world is an argument.
"""
