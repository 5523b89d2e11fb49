"""Fixtures for the suites of users: a server for the run, clients, categories.

pytest loads this in every run of everybody who has messagedb installed, so it is a package of its
own: messagedb itself is imported when a fixture is asked for.
"""

from __future__ import annotations
