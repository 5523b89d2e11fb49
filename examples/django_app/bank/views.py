"""Views of the site."""

from __future__ import annotations

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse

from messagedb import NewMessage

from .models import Account
from .store import in_transaction


def deposit(request: HttpRequest, id: int) -> JsonResponse:
    """Add to the balance and write the message: both, or neither of them."""
    amount = json.loads(request.body)["amount"]
    with transaction.atomic():
        account, _ = Account.objects.select_for_update().get_or_create(id=id)
        account.balance += amount
        account.save()
        message = NewMessage("Deposited", {"amount": amount})
        position = in_transaction().write_message(f"account-{id}", message)
        if account.balance > 1000:
            raise ValueError("an account holds at most 1000")  # the row and the message are gone
    return JsonResponse({"position": position, "balance": account.balance}, status=201)


def account(request: HttpRequest, id: int) -> JsonResponse:
    """Show an account, with the consumer's count of deposits."""
    found = Account.objects.filter(id=id).values("balance", "deposits").first()
    return JsonResponse(found or {"detail": "no such account"}, status=200 if found else 404)
