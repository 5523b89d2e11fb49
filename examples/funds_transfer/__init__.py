"""Two components that move money from account to account: see docs/funds-transfer.md."""
