"""The web console's files, its sign-in configuration and the headers of every response."""
