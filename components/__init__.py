"""Reusable component resources, one module each: they take plain arguments and read no configuration."""
