"""Metrics of consumers and of pools, and their text for Prometheus."""
