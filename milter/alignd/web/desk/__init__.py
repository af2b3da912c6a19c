"""What pages ask for while somebody waits: DNS anew, within bounds."""
