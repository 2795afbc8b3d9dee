"""Few pages are drawn at a time, and none that hangs keeps others waiting for ever."""

import threading
import time

import pytest

from thalweg.dashboard.seats import Seats


def test_no_more_than_there_are_places_work_at_once() -> None:
    seats, lock, now, most, done = Seats(2, 30.0), threading.Lock(), [0], [0], [0]

    def work() -> None:
        with seats.taken():
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1
                done[0] += 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert (most[0], done[0]) == (2, 12)


def test_what_hangs_loses_its_place() -> None:
    seats, hung = Seats(1, 0.3), threading.Event()

    def hang() -> None:
        with seats.taken():
            hung.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        while not seats._since:
            time.sleep(0.001)
        with seats.taken():  # waits for a while
            pass
        begun = time.monotonic()
        for _ in range(3):
            with seats.taken():
                pass
        assert time.monotonic() - begun < 0.3
    finally:
        hung.set()
        thread.join(30)
    assert not seats._since


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_place_is_given_back_after_an_error(error: type[BaseException]) -> None:
    seats = Seats(1, 30.0)
    with pytest.raises(error), seats.taken():
        raise error
    begun = time.monotonic()
    with seats.taken():
        assert time.monotonic() - begun < 5
