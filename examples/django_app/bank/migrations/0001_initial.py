"""The table of accounts."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations: ClassVar = [
        migrations.CreateModel(
            "Account",
            [
                ("id", models.BigIntegerField(primary_key=True)),
                ("balance", models.BigIntegerField(default=0)),
                ("deposits", models.BigIntegerField(default=0)),
            ],
        ),
    ]
