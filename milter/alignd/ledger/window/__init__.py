"""How a process of another user reads a ledger, and cannot write it.

A ledger on PostgreSQL is asked with a role that may only read (`database`). One in a file is asked
over a Unix socket of the process that owns it (`client`, `server`): nobody else can read a WAL
database once its writer is gone. Begin with `reader`, which both are; `opening` finds the one.
"""
