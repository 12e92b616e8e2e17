"""Reading a page as strictly as the format allows; Prometheus' own client helps, and forgives too much."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def strictly(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the families of a page: name -> label sets.

    Asserts what the client's reader lets pass: one HELP and one TYPE for each family, in front of all
    of its samples and in one piece; no series twice; names and labels that are valid.
    """
    assert text == "" or text.endswith("\n")
    found: dict[str, list[dict[str, str]]] = {}
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    headings = re.findall(r"^# (HELP|TYPE) (\S+)", text, re.M)
    assert len(set(headings)) == len(headings)
    assert [name for word, name in headings if word == "HELP"] == [
        name for word, name in headings if word == "TYPE"
    ]
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert set(kinds.values()) <= {"counter", "gauge", "untyped", "histogram"}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # their reader adds _total to counters that the field's exporter names without
            name = next(
                name
                for name in (sample.name, sample.name.removesuffix("_total"), family.name)
                if name in kinds
            )
            assert _NAME.fullmatch(sample.name)
            assert all(_LABEL.fullmatch(label) for label in sample.labels)
            key = (sample.name, frozenset((label, value) for label, value in sample.labels.items() if value))
            assert key not in seen, key
            seen.add(key)
            found.setdefault(name, []).append(sample.labels)
    current, closed = "", set()
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            closed.add(current)
            current = line.split(" ")[2]
            assert current not in closed
        elif line and not line.startswith("#"):
            name = re.split("[{ ]", line)[0]
            parts = {f"{current}_{part}" for part in ("bucket", "sum", "count")}
            assert name == current or (name in parts and kinds[current] == "histogram"), line
    assert set(found) == set(kinds), "a heading without a sample"
    return found
