"""What the release engine acts on, in AWS: each port of `release/ports.py` over boto3 or Pulumi."""
