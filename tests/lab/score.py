"""What a diagnosis is worth against what was injected. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from statistics import median
from typing import Any

Wanted = Sequence[tuple[tuple[str, ...], str]]


@dataclass
class Result:
    """One fault as it went."""

    fault: str
    system: str
    kind: str
    expected: list[str]
    got: list[str] = field(default_factory=list)
    first: bool = False
    exact: bool = False
    path: bool = False
    false_alarms: list[str] = field(default_factory=list)
    abstained: bool = False
    seconds: float = 0.0
    error: str = ""
    notes: list[str] = field(default_factory=list)
    walked: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """True where nothing is wrong with it."""
        return not self.error and self.first and self.exact and self.path and not self.false_alarms


def judge(
    result: Result,
    diagnosis: dict[str, Any],
    expect: Wanted,
    shows: Wanted,
    innocent: Sequence[str],
    abstain: bool,
) -> None:
    """Fill in what the diagnosis is worth."""
    roots = [(item["id"], item["target"]) for item in diagnosis["root_causes"]]
    result.got = [f"{slug}@{target}" for slug, target in roots]
    result.got += [f"({item['id']}@{item['target']} not proven)" for item in diagnosis["unproven"]]
    result.walked = [f"{step['flow']}/{step['step']}: {step['answer']}" for step in diagnosis["path"]]
    result.abstained = not roots
    failing = [item for item in diagnosis["findings"] if item["status"] in ("warning", "critical")]
    result.evidence = {
        "findings": [
            f"{item['status']} {item['id']}@{item['target']}: {item['summary']}" for item in failing
        ],
        "also": [f"{item['id']}@{item['target']}" for item in diagnosis["also"]],
        "unknown": [
            f"{item['id']}@{item['target']}: {item['summary']}"
            for item in diagnosis["findings"]
            if item["status"] == "unknown"
        ],
    }
    result.notes += [f"innocent but blamed: {slug}" for slug, _ in roots if _matches(slug, innocent)]

    def is_one(root: tuple[str, str], wanted: Wanted) -> bool:
        return any(_matches(root[0], slugs) and root[1] == target for slugs, target in wanted)

    if not expect and not abstain:  # a control: nothing at all may be found
        result.false_alarms = [f"{item['id']}@{item['target']}" for item in failing]
        result.first = result.exact = result.path = not failing
        return
    if abstain:
        wrong = [root for root in roots if not is_one(root, expect)]
        result.first = result.exact = result.path = not wrong
        result.notes += [f"wrong name: {slug}@{target}" for slug, target in wrong]
        return
    result.first = bool(roots) and is_one(roots[0], expect)
    covered = all(any(is_one(root, [wanted]) for root in roots) for wanted in expect)
    result.exact = covered and len(roots) == len(expect) and not diagnosis["unproven"]
    chains = [(hop["id"], hop["target"]) for cause in diagnosis["root_causes"] for hop in cause["chain"]]
    missing = [wanted for wanted in shows if not any(is_one(hop, [wanted]) for hop in [*chains, *roots])]
    result.notes += [f"not on the path: {'|'.join(slugs)}@{target}" for slugs, target in missing]
    result.path = result.first and not missing and bool(diagnosis["path"])


def _matches(slug: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(slug, pattern) for pattern in patterns)


def summary(results: Sequence[Result], controls: dict[str, list[list[str]]]) -> dict[str, Any]:
    """Return the scores of everything, of each system and of each kind."""
    groups: dict[str, dict[str, list[Result]]] = {"system": defaultdict(list), "kind": defaultdict(list)}
    for result in results:
        groups["system"][result.system].append(result)
        groups["kind"][result.kind].append(result)
    runs = [run for each in controls.values() for run in each]
    return {
        "all": scores(results),
        "systems": {name: scores(items) for name, items in sorted(groups["system"].items())},
        "kinds": {name: scores(items) for name, items in sorted(groups["kind"].items())},
        "controls": {"runs": len(runs), "false_alarms": [run for run in runs if run]},
    }


def scores(results: Sequence[Result]) -> dict[str, Any]:
    """Return the scores of some results; shares are of all of them, errors count as wrong."""
    count = len(results)
    times = sorted(result.seconds for result in results if result.seconds)

    def share(name: str) -> float:
        return (
            round(sum(bool(getattr(item, name)) and not item.error for item in results) / count, 3)
            if count
            else 0
        )

    return {
        "faults": count,
        "ac1": share("first"),
        "exact": share("exact"),
        "path": share("path"),
        "false_alarms": sum(len(item.false_alarms) for item in results),
        "abstained": sum(item.abstained for item in results),
        "errors": sum(bool(item.error) for item in results),
        "p50_seconds": round(median(times), 3) if times else None,
        "p95_seconds": round(times[min(len(times) - 1, int(len(times) * 0.95))], 3) if times else None,
    }


def plain(result: Result) -> dict[str, Any]:
    """Return a result for the report."""
    return {**asdict(result), "right": result.right}
