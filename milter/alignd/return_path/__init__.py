"""Return addresses: each names an author, is signed by a key, and needs no store to be read."""
