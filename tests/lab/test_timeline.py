"""The picture of a history: whole, self-contained, the same each time, and true to the records."""

from __future__ import annotations

import re
from math import inf
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.history import FAIL, OK, READ, SECOND, UNKNOWN, WRITE, Fault, History, Operation
from lab.timeline import LEFT, RIGHT, WIDTH, render
from tests.lab.simulated import history_of, operation

MS = SECOND // 1000
SPAN = operation(READ, 0, 10 * SECOND)
KILL = Fault(
    "kill -9",
    ("server1",),
    restarts=True,
    injected=2 * SECOND,
    seen=3 * SECOND,
    healed=5 * SECOND,
    recovered=6 * SECOND,
)
TIMES = st.integers(0, 10 * SECOND)


def drawn(operations: list[Operation], *faults: Fault) -> ET.Element:
    """Return the picture of a history, parsed."""
    return ET.fromstring(render(history_of(operations, faults), "title"))


def having(svg: ET.Element, name: str) -> list[ET.Element]:
    """Return the elements of a class."""
    return [it for it in svg.iter() if it.get("class") == name]


def pixel(seconds: float, within: float = 0.1) -> Any:  # noqa: ANN401 - pytest names no type for it
    """Return where a moment of a history of ten seconds stands, to compare with."""
    return pytest.approx(LEFT + (WIDTH - RIGHT - LEFT) * seconds / 10, abs=within)


def words(svg: ET.Element) -> str:
    """Return all that is written, a line each."""
    return "\n".join(it.text or "" for it in svg.iter("{http://www.w3.org/2000/svg}text"))


def marks(svg: ET.Element, result: str) -> list[tuple[float, float]]:
    """Return the places of the latency marks of a result."""
    paths = "".join(it.attrib["d"] for it in having(svg, f"latency {result}"))
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)", paths)]


def test_a_fault_is_shaded_and_labelled() -> None:
    """Shaded from injection to healing, lighter until recovery, named, with a line where it was seen."""
    svg = drawn([SPAN], KILL)
    ((fault,), (recovery,)) = having(svg, "fault"), having(svg, "recovery")
    assert float(fault.attrib["x"]) == pixel(2)
    assert float(fault.attrib["x"]) + float(fault.attrib["width"]) == pixel(5) == float(recovery.attrib["x"])
    assert float(recovery.attrib["x"]) + float(recovery.attrib["width"]) == pixel(6)
    (seen,) = having(svg, "seen")
    assert float(re.findall(r"M([\d.]+)", seen.attrib["d"])[0]) == pixel(3)
    assert "kill -9 server1" in words(svg)


def test_a_fault_that_was_never_healed_is_shaded_to_the_end() -> None:
    """It is still there; and where nobody saw it there is no line."""
    svg = drawn(
        [SPAN], Fault("cut", (), restarts=False, injected=4 * SECOND, seen=None, healed=None, recovered=None)
    )
    (fault,) = having(svg, "fault")
    assert float(fault.attrib["x"]) + float(fault.attrib["width"]) == pixel(10)
    assert not having(svg, "seen")


def test_labels_of_faults_do_not_overlap() -> None:
    """Each of many faults at once has its label in a row of its own, and the panels move down."""
    svg = drawn([SPAN], *[KILL] * 5)
    labels = [it for it in svg.iter() if it.text == "kill -9 server1"]
    assert len({it.attrib["y"] for it in labels}) == 5
    assert float(svg.attrib["height"]) == float(drawn([SPAN], KILL).attrib["height"]) + 4 * 15


def test_a_label_at_the_end_stays_on_the_page() -> None:
    """It is moved to the left as far as it needs."""
    last = Fault("partition", ("server1", "server2"), False, 10 * SECOND, None, None, None)
    (label,) = (it for it in drawn([SPAN], last).iter() if it.text == "partition server1, server2")
    assert float(label.attrib["x"]) < WIDTH - 6 * len("partition server1, server2")


def test_every_operation_leaves_a_mark_where_it_was_asked() -> None:
    """Good, failed and unknown ones each have their own, higher the longer they took."""
    operations = [
        operation(WRITE, 1 * SECOND, 1 * SECOND + 5 * MS),
        operation(WRITE, 2 * SECOND, 2 * SECOND + 50 * MS),
        operation(WRITE, 3 * SECOND, 4 * SECOND, result=FAIL),
        operation(WRITE, 5 * SECOND, 10 * SECOND, result=UNKNOWN),
        operation(WRITE, 6 * SECOND, inf),
        operation(WRITE, 7 * SECOND, 7 * SECOND + 5 * MS),
    ]
    svg = drawn([operation(READ, 0, 1), *operations])
    ok = [it for it in marks(svg, "ok") if it[0] > LEFT]
    assert [x for x, _ in ok] == [pixel(at, within=1) for at in (1, 2, 7)]
    assert ok[0][1] == ok[2][1]
    assert ok[0][1] > ok[1][1] > marks(svg, "fail")[0][1] > marks(svg, "unknown")[0][1]
    assert [x for x, _ in marks(svg, "unknown")] == [pixel(at, within=1) for at in (5, 6)]


def test_the_rate_counts_what_ended_in_each_interval() -> None:
    """Ten good answers stand twice as high as five failures, and a single unknown one is still to be seen."""
    good = [operation(READ, at * 10 * MS, at * 10 * MS + MS) for at in range(1000)]
    bad = [operation(READ, at * 20 * MS, at * 20 * MS + MS, result=FAIL) for at in range(500)]
    svg = drawn([*good, *bad, operation(READ, 0, 5 * SECOND, result=UNKNOWN)])
    bars = {result: having(svg, f"rate {result}") for result in ("ok", "fail", "unknown")}
    heights = {result: sum(float(it.attrib["height"]) for it in its) for result, its in bars.items()}
    assert len(bars["ok"]) == len(bars["fail"]) == 100
    assert heights["ok"] == pytest.approx(2 * heights["fail"], rel=0.01)
    assert heights["ok"] == pytest.approx(1000 * heights["unknown"], rel=0.1)
    (unknown,) = bars["unknown"]
    (below,) = (it for it in bars["fail"] if it.attrib["x"] == unknown.attrib["x"])
    assert float(unknown.attrib["x"]) == pixel(5, within=1)
    assert float(unknown.attrib["y"]) + float(unknown.attrib["height"]) == pytest.approx(
        float(below.attrib["y"])
    )
    assert "read: 1,000 ok, 500 fail, 1 unknown" in words(svg)


def test_one_failure_among_thousands_can_be_seen() -> None:
    """What is rare is what matters: its bar has a height that the eye finds."""
    good = [operation(READ, at * MS, at * MS + MS) for at in range(10_000)]
    svg = drawn([*good, operation(READ, 0, 5 * SECOND, result=FAIL)])
    assert max(float(it.attrib["height"]) for it in having(svg, "rate fail")) == 1.5


def test_the_longest_gap_is_marked_and_said() -> None:
    """The same that the check measures: from the last good answer to the next."""
    svg = drawn(
        [
            operation(WRITE, 0, SECOND),
            operation(WRITE, 3 * SECOND, 7 * SECOND),
            operation(WRITE, 8 * SECOND, 10 * SECOND),
        ]
    )
    (gap,) = having(svg, "gap")
    left, right = re.findall(r"^M([\d.]+) [\d.]+H([\d.]+)", gap.attrib["d"])[0]
    assert (float(left), float(right)) == (pixel(1), pixel(7))
    assert "no good answer for 6.000 s, from 1.000 to 7.000 s" in words(svg)


def test_each_action_has_its_panels() -> None:
    """In the order of their first use, or as many as are asked for."""
    history = history_of([operation("connect", 0, 5), operation(READ, 1, 2), operation("connect", 3, 4)])
    everything = render(history)
    assert 0 < everything.index("connect: 2 ok") < everything.index("read: 1 ok")
    assert "connect" not in render(history, actions=[READ])


def test_a_history_without_operations_says_so() -> None:
    """An empty picture would look like a quiet system."""
    assert "no operation was recorded" in render(History())


def test_nothing_is_fetched_and_nothing_runs() -> None:
    """The file can be sent to anybody: no reference, no script, a white page below dark letters."""
    text = render(history_of([SPAN], [KILL]), "<script>&\x00\udc80")
    assert not re.search(r"href|url\(|<script|<style|@import", text)
    assert "&lt;script&gt;&amp;??" in text
    page = next(it for it in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}rect"))
    assert (page.attrib["fill"], page.attrib["width"]) == ("#fff", str(WIDTH))


def test_a_hundred_thousand_operations_make_a_small_picture() -> None:
    """Marks that would cover each other are drawn once."""
    operations = [operation(READ, at * MS, at * MS + MS * (1 + at % 7)) for at in range(100_000)]
    assert len(render(history_of(operations))) < 300_000


@st.composite
def anything(draw: st.DrawFn) -> History:
    """Return any history, however odd its times."""
    operations = [
        operation(action, start, start + length, result=UNKNOWN if length == inf else result)
        for action, start, length, result in draw(
            st.lists(
                st.tuples(
                    st.sampled_from([READ, WRITE]),
                    TIMES,
                    st.integers(1, 2 * SECOND) | st.just(inf),
                    st.sampled_from([OK, FAIL, UNKNOWN]),
                )
            )
        )
    ]
    starts = draw(st.lists(TIMES, max_size=4))
    faults = [Fault("f", ("a", "b"), False, at, draw(st.none() | st.just(at)), at + 5, None) for at in starts]
    return history_of(operations, faults)


@given(history=anything())
@settings(max_examples=200)
def test_any_history_is_drawn_on_its_page_and_alike_each_time(history: History) -> None:
    """All coordinates are numbers within the page, and drawing twice gives the same bytes."""
    text = render(history)
    svg = ET.fromstring(text)
    height = float(svg.attrib["height"])
    for it in svg.iter():
        x, y = float(it.get("x", 0)), float(it.get("y", 0))
        assert 0 <= x <= x + float(it.get("width", 0)) <= WIDTH
        assert 0 <= y <= y + float(it.get("height", 0)) <= height
        if it.get("class", "").startswith("rate"):
            assert LEFT <= x <= x + float(it.attrib["width"]) <= WIDTH - RIGHT + 0.5
        for mark_x, mark_y in re.findall(r"M([^ ]+) ([-\d.e]+)", it.get("d", "")):
            assert LEFT - 2 <= float(mark_x) <= WIDTH
            assert 0 <= float(mark_y) <= height
    assert render(history) == text
