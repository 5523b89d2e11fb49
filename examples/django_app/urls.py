"""The paths of the site."""

from __future__ import annotations

from django.urls import path

from .bank import views

urlpatterns = [
    path("accounts/<int:id>/deposits", views.deposit),
    path("accounts/<int:id>", views.account),
]
