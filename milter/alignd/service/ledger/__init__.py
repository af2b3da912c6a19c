"""The process that owns the ledger: begin with `server`. Others know `place` alone."""
