"""The real engine and the real AWS provider against the embedded cloud."""
