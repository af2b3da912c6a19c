"""What receivers said of mail, as a ledger keeps it: their replies, and their reports."""
