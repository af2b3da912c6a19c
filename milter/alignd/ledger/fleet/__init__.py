"""What relays need that share one database: what waits for it, who sends it, and who leads."""
