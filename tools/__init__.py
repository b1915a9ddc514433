"""Development scripts: generators of documents, and mutation tests."""
