"""What an AWS account needs once, before its first stack: state, keys, and the roles of GitHub's jobs."""
