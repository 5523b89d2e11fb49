"""The rows of the application."""

from __future__ import annotations

from django.db import models


class Account(models.Model):
    """An account; the consumer counts *deposits*."""

    id = models.BigIntegerField(primary_key=True)
    balance = models.BigIntegerField(default=0)
    deposits = models.BigIntegerField(default=0)
