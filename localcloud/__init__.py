"""The embedded cloud: Pulumi's engine where it cannot be downloaded, and an AWS API in one process."""
