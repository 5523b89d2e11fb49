"""A service of orders and payments: HTTP, consumers and a read model, declared by one app."""
