"""An application of accounts: rows of Django's ORM, and messages, in one transaction."""
