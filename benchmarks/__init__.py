"""What is called fast or cheap, measured beside its peers in one run: `make bench`."""
