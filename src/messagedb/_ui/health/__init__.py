"""The page of a store's health: findings, each with its remedy."""

from __future__ import annotations
