"""An application: its consumers and read models, declared before there is a client."""
