"""party.neighbours: who is there and has what open."""

from party.neighbours import SILENT_S, Neighbours


def test_a_node_is_news_once_and_gone_when_silent() -> None:
    """B2."""
    known = Neighbours()
    assert known.heard("b", 0.0)
    assert known.heard("a", 2.0)
    assert not known.heard("b", 1.0)
    assert known.nodes == ["a", "b"]
    assert known.silent(1.0 + SILENT_S) == []
    assert known.silent(1.1 + SILENT_S) == ["b"]
    known.forget("b")
    assert known.nodes == ["a"]
    assert known.heard("b", 9.0)


def test_rooms_are_shared_with_who_has_them_open() -> None:
    """B2: and with nobody else."""
    known = Neighbours()
    assert known.add("r", "a")
    assert not known.add("r", "a")
    known.add("r", "b")
    known.add("s", "b")
    assert set(known.of("r")) == {"a", "b"}
    assert known.of("t") == frozenset()
    assert known.remove("r", "a")
    assert not known.remove("r", "a")
    assert sorted(known.forget("b")) == ["r", "s"]
    assert known.of("r") == known.of("s") == frozenset()
    known.add("r", "a")
    known.forget_room("r")
    assert known.of("r") == frozenset()
