"""What judges a release: smoke checks, alarms, the comparison of the colours, the user's own checks."""
