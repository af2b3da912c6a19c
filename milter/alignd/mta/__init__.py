"""One milter connection: protocol, messages in progress, cached judgements."""
