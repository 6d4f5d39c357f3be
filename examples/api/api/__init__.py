"""A small API with items in a database."""
