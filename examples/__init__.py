"""Applications to try releases with, and broken variants of them."""
