"""Under the store: its tables and their history, the database that holds them, and the bytes of an artefact."""
