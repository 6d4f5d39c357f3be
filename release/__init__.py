"""The release engine: a pure model, a driver that carries it out, and adapters for what it acts on."""
