"""Every call to AWS: clients, encryption, the repository of keys and its transactions."""
