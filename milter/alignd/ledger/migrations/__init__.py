"""The schema of a ledger, version by version: each module changes the one before."""
