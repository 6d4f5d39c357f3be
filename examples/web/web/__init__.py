"""A page that shows which version of the API answers."""
