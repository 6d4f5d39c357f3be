"""The Pulumi program: settings in, one platform per stack out."""
