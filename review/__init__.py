"""What a reviewer sees before anything changes."""
