"""The same stack on this machine, without Docker or AWS: everything it serves comes from template.yaml."""
