"""Progress: a table on a terminal, a line now and then elsewhere."""

import io

import pytest

from thalweg.flows import progress
from thalweg.flows.progress import Progress, Row, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_where_there_is_no_terminal(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    show = Progress(stream)
    rows = [Row("a", "running", 1, 10, 0.5), Row("b", "waiting")]
    for _ in range(40):
        clock[0] += 0.5
        show.show(rows)
    assert stream.getvalue() == "[0/2] a: epoch 1/10, loss 0.5\n"
    rows = [Row("a", "done", 10, 10, 0.25, 0.625), Row("b", "failed", message="RuntimeError: broke")]
    show.show(rows)
    show.show(rows)
    assert stream.getvalue().splitlines()[1:] == [
        "[2/2] a: done, loss 0.25, validation 0.625",
        "[2/2] b: failed: RuntimeError: broke",
    ]


def test_the_time_left_is_what_was_told_less_what_passed_since(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    show = Progress(io.StringIO())
    assert show._left("a", None) is None
    assert show._left("a", 40.0) == 40.0
    clock[0] = 8.0
    assert show._left("a", 40.0) == 32.0
    assert show._left("a", 20.0) == 20.0
    clock[0] = 100.0
    assert show._left("a", 20.0) == 0.0


def test_a_table_on_a_terminal():
    stream = Terminal()
    rows = [Row(f"cell-{number}", "done", 3, 3, 0.1, 0.7) for number in range(9)]
    rows += [
        Row("cell-x", "running", 1, 3, 0.5),
        Row("cell-y", "waiting"),
        Row("cell-z", "failed", message="broke"),
    ]
    with Progress(stream) as show:
        show.show(rows)
        show.live.refresh()
    text = stream.getvalue()
    assert "cell-8" in text
    assert "cell-x" in text
    assert "broke" in text
    assert "cell-0" not in text  # only the last of those that are done
    assert "12 in all: 9 done, 1 running, 1 waiting, 1 failed" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
