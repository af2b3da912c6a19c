"""What an examination reads of the machine and of Postfix."""
