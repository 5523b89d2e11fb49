"""The fault proxy's reading of PostgreSQL's protocol, however the bytes are cut into chunks."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb._fault_proxy.protocol import AnswerReader, Kind, Piece, RequestReader


def message(kind: str, body: bytes = b"") -> bytes:
    """Return a message of the protocol."""
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def startup(code: int = 196608, body: bytes = b"") -> bytes:
    """Return a packet as a connection begins with it."""
    return struct.pack("!ii", len(body) + 8, code) + body


SSL, GSS, CANCEL = startup(80877103), startup(80877104), startup(80877102, b"12345678")
BEGIN = startup(body=b"user\0me\0\0")
QUERY = message("Q", b"select 1\0")
EXTENDED = [message("P", b"\0select 1\0\0\0"), message("B"), message("E"), message("S")]
COPY = [message("Q", b"copy\0"), message("d", b"one\n"), message("d", b"two\n"), message("c")]


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join the parts of each request or answer, whatever chunks they came in."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].kind is Kind.PART:
            found[-1] = Piece(found[-1].data + piece.data, piece.kind)
        else:
            found.append(piece)
    return found


CONVERSATIONS = {
    "simple": ([BEGIN, QUERY, QUERY], [(BEGIN, Kind.END), (QUERY, Kind.END), (QUERY, Kind.END)]),
    "password": (
        [BEGIN, message("p", b"secret\0"), QUERY],
        [(BEGIN, Kind.END), (message("p", b"secret\0") + QUERY, Kind.END)],
    ),
    "extended": ([BEGIN, *EXTENDED], [(BEGIN, Kind.END), (b"".join(EXTENDED), Kind.END)]),
    "flush": (
        [BEGIN, *EXTENDED[:3], message("H"), EXTENDED[3]],
        [
            (BEGIN, Kind.END),
            (b"".join(EXTENDED[:3]) + message("H"), Kind.FLUSH),
            (EXTENDED[3], Kind.END),
        ],
    ),
    "copy": (
        [BEGIN, *COPY, QUERY],
        [
            (BEGIN, Kind.END),
            (COPY[0], Kind.END),
            (b"".join(COPY[1:]), Kind.END),
            (QUERY, Kind.END),
        ],
    ),
    "copy by an extended query": (
        [BEGIN, *EXTENDED, message("d", b"one"), message("c"), message("S")],
        [
            (BEGIN, Kind.END),
            (b"".join(EXTENDED), Kind.END),
            (message("d", b"one") + message("c") + message("S"), Kind.END),
        ],
    ),
    "the end of a session": (
        [BEGIN, QUERY, message("X")],
        [(BEGIN, Kind.END), (QUERY, Kind.END), (message("X"), Kind.OPAQUE)],
    ),
    "encryption offered": (
        [GSS, SSL, BEGIN],
        [(GSS, Kind.NEGOTIATION), (SSL, Kind.NEGOTIATION), (BEGIN, Kind.END)],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
@given(data=st.data())
def test_requests_end_where_the_server_answers(name: str, data: st.DataObject) -> None:
    said, wanted = CONVERSATIONS[name]
    whole = b"".join(said)
    cuts = data.draw(st.sets(st.integers(0, len(whole))))
    reader = RequestReader()
    pieces: list[Piece] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
        pieces += reader.feed(whole[begin:end])
    assert joined(pieces) == [Piece(*each) for each in wanted]


@given(st.sets(st.integers(0, 60)))
def test_answers_end_where_the_server_waits(cuts: set[int]) -> None:
    ready = message("Z", b"I")
    answers = [message("R", b"1234") + ready, message("D", b"row") + message("C") + ready]
    answers += [message("G", b"123"), message("C") + ready]
    whole = b"".join(answers) + message("A", b"notified")
    marks = sorted(cut for cut in cuts if cut <= len(whole))
    reader = AnswerReader()
    pieces: list[Piece] = []
    for begin, end in zip([0, *marks], [*marks, len(whole)], strict=True):
        pieces += reader.feed(whole[begin:end])
    wanted = [Piece(answer, Kind.END) for answer in answers]
    assert joined(pieces) == [*wanted, Piece(message("A", b"notified"), Kind.PART)]


def test_what_cannot_be_read_is_passed_on() -> None:
    reader = RequestReader()
    assert b"".join(piece.data for piece in reader.feed(CANCEL)) == CANCEL
    assert reader.encrypted
    reader = RequestReader()
    hello = bytes([0x16, 3, 1, 2, 0]) + b"x" * 20
    assert reader.feed(hello[:3]) == []
    assert reader.feed(hello[3:]) == [Piece(hello, Kind.OPAQUE)]
    assert reader.encrypted
