"""What things are: domains, mailboxes, header fields, messages."""
