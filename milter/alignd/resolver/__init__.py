"""DNS over the network, and from a zone file: what answers the port of `mailauth.dns`.

Imports `mailauth` and `config`, and alone in the project dnspython. `resolver` puts the parts
together (`cache`, `client`, `breaker`, `single_flight`) and is the place to begin; `client` asks
several nameservers, `conversation` one of them; `wire` converts records; `zone` answers from a
file, for `explain --zone` and for tests.
"""
