"""A process manager: it asks other components, waits for replies or for a time, and compensates."""
