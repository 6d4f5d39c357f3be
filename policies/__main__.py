"""What the engine runs for `pulumi preview --policy-pack policies`."""

from policies.pack import serve

serve()
