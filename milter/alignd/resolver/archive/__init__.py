"""DNS answers that outlive workers and restarts, for when DNS fails.

One process owns them: `memory` has them, `writer` keeps the `file` (SQLite) up with it in a thread
of its own, and nothing that is asked of the memory waits for that. Workers are on the other side
of sockets: `client` is theirs, and `datagrams` what goes to and fro.
"""
