"""Wrong tokens are answered later and later."""

from thalweg.dashboard.entry.throttle import FREE, FREE_EVERYWHERE, MOST_ADDRESSES, MOST_SECONDS, Throttle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_few_are_free_and_then_each_costs_twice_the_time() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    waits = []
    for _ in range(FREE + 9):
        waits.append(throttle.wait("10.0.0.1"))
        clock.now += waits[-1]
        throttle.count("10.0.0.1")
    assert waits[:FREE] == [0.0] * FREE
    assert waits[FREE:] == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 900.0, 900.0]
    assert throttle.wait("10.0.0.2") == 0.0


def test_who_guesses_right_is_forgiven_and_so_is_who_waits() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FREE):
        throttle.count("a")
        throttle.count("b")
    throttle.forget("a")
    assert throttle.wait("a") == 0.0
    assert throttle.wait("b") == 10.0
    clock.now += MOST_SECONDS + 1
    throttle.count("b")
    assert throttle.wait("b") == 0.0


def test_changing_the_address_gets_nobody_further() -> None:
    throttle = Throttle(Clock())
    for number in range(FREE_EVERYWHERE):
        assert throttle.wait(str(number)) == 0.0
        throttle.count(str(number))
    assert throttle.wait("another") > 0.0


def test_it_does_not_grow_for_ever() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for number in range(MOST_ADDRESSES + 100):
        clock.now += 1e-3
        throttle.count(str(number))
    assert len(throttle._wrong) <= MOST_ADDRESSES + 1
