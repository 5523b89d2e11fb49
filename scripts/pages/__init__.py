"""The pages of the browser UI on a small and on a large store: ``python -m pages``."""
