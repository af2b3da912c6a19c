"""What each page shows, as values that a template spells out, and as JSON. Pure."""
