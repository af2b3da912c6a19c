"""One message, from words to edits."""
