"""Benchmarks: run by hand with `make bench`, never part of a test."""
