"""What the RFCs say: SPF, DKIM, DMARC, Authentication-Results; DNS is an argument."""
