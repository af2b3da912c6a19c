"""How results are shown: for people, and as JSON."""
