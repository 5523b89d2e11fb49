"""Real requests to the application, by Starlette's test client."""

from __future__ import annotations

from starlette.testclient import TestClient

from examples.starlette_app.app import create_app


def test_who_has_not_seen_the_last_note_is_told(
    messagedb_url: str, messagedb_category: str
) -> None:
    with TestClient(create_app(messagedb_url, messagedb_category)) as http:
        first = http.post("/notes/1", content="hello", headers={"If-Match": '"-1"'})
        assert (first.status_code, first.headers["ETag"]) == (201, '"0"')
        second = http.post("/notes/1", content="again")
        assert second.headers["ETag"] == '"1"'
        refused = http.post("/notes/1", content="late", headers={"If-Match": '"0"'})
        assert refused.status_code == 412
        assert "is at version 1. Nothing was written" in refused.json()["detail"]
        found = http.get("/notes/1")
        assert (found.json(), found.headers["ETag"]) == (["hello", "again"], '"1"')
