"""Bookings of rooms, a workflow of three components, and its tests from the command to the end."""
