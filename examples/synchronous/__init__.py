"""Examples with Client; those in the folder synchronous are generated from them."""  # generated from examples/asynchronous/__init__.py: edit that file

from __future__ import annotations
