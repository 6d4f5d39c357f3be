"""The controls that every stack is held against, as a Pulumi policy pack. docs/policy.md."""
