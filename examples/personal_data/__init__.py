"""Personal data in events: encrypted with a key of each person, forgotten by deleting the key."""
