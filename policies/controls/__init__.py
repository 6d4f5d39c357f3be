"""The rules, by the part of the platform that they are about."""
