"""What receivers said of mail: their replies, and their reports held against what was done."""
