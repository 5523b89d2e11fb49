"""Diagnosis of a store: what keeps this library from working, or is slow or dangerous."""
