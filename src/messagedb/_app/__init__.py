"""Pure code of apps: their client options, and the names of their members."""
