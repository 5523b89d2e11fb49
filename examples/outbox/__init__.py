"""An outbox: a consumer publishes the messages of a category to a broker, each at least once."""
