"""AWS access: clients, encryption, the repository of keys and its transactions."""
