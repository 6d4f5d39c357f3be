"""A `pulumi-resource-aws` that runs HashiCorp's AWS provider behind pulumi-aws's names.

Used where Pulumi's own plugin is neither installed nor to be downloaded. Pulumi's bridge serves any
Terraform provider binary, under its own type names; this package forwards every call to it and
translates the names. Validation, defaults, diffs and API calls are the real provider's.
"""
