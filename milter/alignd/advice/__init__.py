"""What a domain owner can publish, so that mail passes."""
