"""What is known at start: options, the configuration file, the signer, lists of domains."""
