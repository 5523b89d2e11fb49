"""Examples: ``python -m examples`` lists those that show one thing each."""
