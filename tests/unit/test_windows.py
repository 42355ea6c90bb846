"""A table's pieces are read a few at a time, given in order, and given up when one before them fails."""

import threading

import pytest

from headwater.run.windows import AT_ONCE, Stop, Stopped, read_in_order

PATIENCE_S = 20


def test_pieces_come_in_order_whichever_is_read_first():
    second_read = threading.Event()

    def read(number: int, piece: str, stop: Stop) -> str:
        if number == 0:
            assert second_read.wait(PATIENCE_S), "the second piece is not read while the first one is"
        else:
            second_read.set()
        return piece.upper()

    with read_in_order("abcd", read, pytest.fail) as pieces:
        assert list(pieces) == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]


def test_no_more_pieces_are_ahead_of_the_commits_than_allowed():
    lock, begun = threading.Lock(), []

    def read(number: int, piece: int, stop: Stop) -> int:
        with lock:
            begun.append(number)
        return piece

    with read_in_order(range(10), read, lambda _: None) as pieces:
        for given, _ in pieces:
            assert len(begun) <= given + AT_ONCE


def test_a_piece_that_fails_ends_those_after_it_and_what_they_read_is_discarded():
    later_read, discarded, given = threading.Event(), [], []

    def read(number: int, piece: int, stop: Stop) -> int:
        if number == 1:
            assert later_read.wait(PATIENCE_S)
            raise ConnectionError("the line broke")
        if number == 2:
            later_read.set()
        return piece

    with (
        pytest.raises(ConnectionError, match="the line broke"),
        read_in_order([10, 11, 12, 13], read, discarded.append) as pieces,
    ):
        given.extend(found for _, found in pieces)

    assert discarded == [12]
    assert given == [10]


def test_a_piece_that_is_still_being_read_is_told_to_stop():
    reading, stopped = threading.Event(), threading.Event()

    def read(number: int, piece: int, stop: Stop) -> int:
        if number == 0:
            assert reading.wait(PATIENCE_S)
            raise ConnectionError("the line broke")
        reading.set()
        try:
            for _ in range(PATIENCE_S * 100):
                stop.check()
                stopped.wait(0.01)
        except Stopped:
            stopped.set()
            raise
        return piece

    with pytest.raises(ConnectionError), read_in_order([0, 1], read, pytest.fail) as pieces:
        list(pieces)

    assert stopped.is_set()


def test_one_piece_alone_is_read_where_it_is_asked_for():
    here = threading.get_ident()

    with read_in_order(["only"], lambda number, piece, stop: threading.get_ident(), pytest.fail) as pieces:
        assert list(pieces) == [("only", here)]


def test_no_piece_is_nothing():
    with read_in_order([], pytest.fail, pytest.fail) as pieces:
        assert list(pieces) == []
