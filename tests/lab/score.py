"""What a diagnosis is worth against what was injected. Pure.

Words, as the report and the README use them:

fault
    One injected fault, one look while it lasts. `first` (AC@1): the first root cause is the injected
    one. `exact`: the root causes are the injected ones and no others, nothing left unproven. `path`:
    the first cause is right, every documented symptom hangs below a cause, and a tree was walked.
abstained
    A fault was there and no root cause was named. Right only where the fault says that the evidence
    does not show it; then naming anything else than the truth is a wrong name.
wrong name
    A root cause that was not injected. Under missing evidence there must be none.
control look
    A look at a system that is healthy: its documented pages answered, its logs were emptied, and since
    then `RECOVERED_SECONDS` have passed without anything being injected. Two sorts count: the loops of
    looks that a full run makes after the boot and after the last fault, half of them idle, half under
    load; and those looks between two faults that came late enough. A quiet look that came earlier only
    starts the next fault, it is not counted in anybody's favour.
false alarm
    Any finding (warning or critical) of a control look, or of a fault of the kind `control` or
    `recovered`. One exception, and only between two faults: what the fault's own look had found
    already, seen again within `LOOKS_BACK_SECONDS`, is an echo, since checks look that far back by
    design (`opsctl checks SLUG` says so). Such a look is no control and is listed under `echoes`.
    A finding that the fault's look did not have is never an echo.
disturbed
    A fault or a look during which the host of this machine took away more than `STOLEN_SHARE` of the
    processor time that was wanted (processors.py). A run with control looks measures it again, right or
    wrong, and counts how often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from math import ceil
from statistics import median
from typing import Any

Wanted = Sequence[tuple[tuple[str, ...], str]]

RECOVERED_SECONDS = 10.0
"""How long a system must have been well before a look at it is a control."""
LOOKS_BACK_SECONDS = 600.0
"""The longest time that any check looks back for what happened."""
GATES = (("ac1", "AC@1", 0.95), ("exact", "exact set", 0.90), ("path", "path right", 0.90))
GROUP_SHARE, GROUP_FAULTS = 0.85, 7
"""No system and no kind below this share, where it has so many faults."""
PHASES = ("inject", "look", "undo", "settle")


@dataclass
class Result:
    """One fault as it went."""

    fault: str
    system: str
    kind: str
    expected: list[str]
    special: str = ""
    hangs: bool = False
    may_abstain: bool = False
    got: list[str] = field(default_factory=list)
    first: bool = False
    exact: bool = False
    path: bool = False
    false_alarms: list[str] = field(default_factory=list)
    wrong_names: list[str] = field(default_factory=list)
    abstained: bool = False
    seconds: float = 0.0
    """Wall time of `opsctl diagnose`."""
    phases: dict[str, float] = field(default_factory=dict)
    """Where the lab's own time went."""
    disturbed: bool = False
    """The host took the processors away meanwhile."""
    error: str = ""
    notes: list[str] = field(default_factory=list)
    walked: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """True where nothing is wrong with it."""
        return not self.error and self.first and self.exact and self.path and not self.false_alarms

    @property
    def verdict(self) -> tuple[object, ...]:
        """What two runs must agree on: what was named, and what that is worth."""
        return (
            sorted(self.got),
            self.first,
            self.exact,
            self.path,
            sorted(self.false_alarms),
            bool(self.error),
        )


@dataclass
class Control:
    """One look at a healthy system, or an echo."""

    system: str
    when: str
    """idle, load, between."""
    found: list[str] = field(default_factory=list)
    echo: bool = False
    seconds: float = 0.0


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
    failing = found(diagnosis)
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
    result.abstained = not roots
    result.wrong_names = [f"{slug}@{target}" for slug, target in roots if not is_one((slug, target), expect)]
    if abstain:
        result.first = result.exact = result.path = not result.wrong_names
        result.notes += [f"wrong name: {name}" for name in result.wrong_names]
        return
    result.first = bool(roots) and is_one(roots[0], expect)
    covered = all(any(is_one(root, [wanted]) for root in roots) for wanted in expect)
    result.exact = covered and len(roots) == len(expect) and not diagnosis["unproven"]
    chains = [(hop["id"], hop["target"]) for cause in diagnosis["root_causes"] for hop in cause["chain"]]
    missing = [wanted for wanted in shows if not any(is_one(hop, [wanted]) for hop in [*chains, *roots])]
    result.notes += [f"not on the path: {'|'.join(slugs)}@{target}" for slugs, target in missing]
    result.path = result.first and not missing and bool(diagnosis["path"])


def found(diagnosis: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the findings that say something is wrong."""
    return [item for item in diagnosis["findings"] if item["status"] in ("warning", "critical")]


def control(
    system: str, when: str, diagnosis: dict[str, Any], fault: Result | None, since: float
) -> Control | None:
    """Return what a look at a system that has been well for `since` seconds counts as; None: as nothing."""
    failing = found(diagnosis)
    names = [f"{item['id']}@{item['target']}" for item in failing]
    before = " ".join(fault.evidence.get("findings", [])) if fault else ""
    echo = bool(names) and since < LOOKS_BACK_SECONDS and all(f" {name}: " in f" {before}" for name in names)
    if since < RECOVERED_SECONDS:
        return None
    texts = [f"{name}: {item['summary']}" for name, item in zip(names, failing, strict=True)]
    return Control(system, when, texts, echo)


def _matches(slug: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(slug, pattern) for pattern in patterns)


def summary(results: Sequence[Result], controls: Sequence[Control]) -> dict[str, Any]:
    """Return the scores of everything, of each system and of each kind."""

    def grouped(key: Callable[[Result], str]) -> dict[str, Any]:
        groups: dict[str, list[Result]] = defaultdict(list)
        for result in results:
            groups[key(result)].append(result)
        return {name: scores(items) for name, items in sorted(groups.items())}

    counted = [item for item in controls if not item.echo]
    alarms = [f"{item.system} ({item.when}): {'; '.join(item.found)}" for item in counted if item.found]
    looks: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in counted:
        looks[item.system][item.when] += 1
    blind = [item for item in results if item.may_abstain or item.special == "missing-evidence"]
    return {
        "all": scores(results),
        "systems": grouped(lambda item: item.system),
        "kinds": grouped(lambda item: item.kind),
        "missing_evidence": {
            "faults": len(blind),
            "abstained": sum(item.abstained for item in blind),
            "wrong_names": [f"{item.fault}: {name}" for item in blind for name in item.wrong_names],
        },
        "controls": {
            "runs": len(counted),
            "recovered_seconds": RECOVERED_SECONDS,
            "looks": {name: dict(each) for name, each in sorted(looks.items())},
            "false_alarms": alarms,
            "echoes": len(controls) - len(counted),
        },
        "phases": {name: round(sum(item.phases.get(name, 0.0) for item in results), 1) for name in PHASES},
    }


def broken_gates(summed: dict[str, Any]) -> list[str]:
    """Return in one line each what is below what the lab demands.

    The demands on each kind are on those of all systems together. One system has too few faults for a
    share of all: there the demands are counted in whole faults, rounded in its favour.
    """
    lines = []
    whole = len(summed["systems"]) > 1
    total = summed["all"]
    for key, words, wanted in GATES:
        count = total["faults"]
        least = wanted if whole or not count else 1 - ceil(round((1 - wanted) * count, 6)) / count
        if count and total[key] < round(least, 3):
            lines.append(f"{words} {total[key]} over {count} faults, {round(least, 3)} is demanded")
    kinds = {f"kind {name}": each for name, each in summed["kinds"].items()} if whole else {}
    for name, each in {**kinds, **summed["systems"]}.items():
        if each["faults"] >= GROUP_FAULTS and each["ac1"] < GROUP_SHARE:
            lines.append(
                f"{name}: AC@1 {each['ac1']} over {each['faults']} faults, {GROUP_SHARE} is demanded"
            )
    lines += [f"false alarm of a control: {text}" for text in summed["controls"]["false_alarms"]]
    lines += [
        f"wrong name under missing evidence: {text}" for text in summed["missing_evidence"]["wrong_names"]
    ]
    return lines


def scores(results: Sequence[Result]) -> dict[str, Any]:
    """Return the scores of some results; shares are of all of them, errors count as wrong."""
    count = len(results)

    def share(name: str) -> float | None:
        right = sum(bool(getattr(item, name)) and not item.error for item in results)
        return round(right / count, 3) if count else None

    times = [item.seconds for item in results if item.seconds and not item.hangs]
    hanging = [item.seconds for item in results if item.seconds and item.hangs]
    return {
        "faults": count,
        "ac1": share("first"),
        "exact": share("exact"),
        "path": share("path"),
        "false_alarms": sum(len(item.false_alarms) for item in results),
        "abstained": sum(item.abstained for item in results),
        "wrong_names": sum(len(item.wrong_names) for item in results),
        "errors": sum(bool(item.error) for item in results),
        "p50_seconds": round(median(times), 3) if times else None,
        "p95_seconds": percentile(times, 0.95),
        "p95_hanging_seconds": percentile(hanging, 0.95),
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, ceil(round(len(ordered) * share, 6)))
    return round(ordered[rank - 1], 3) if ordered else None


def plain(result: Result) -> dict[str, Any]:
    """Return a result for the report."""
    return {**asdict(result), "right": result.right}


def result_from(value: dict[str, Any]) -> Result:
    """Return a result read back from a report."""
    known = {item.name for item in fields(Result)}
    return Result(**{name: each for name, each in value.items() if name in known})


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return, one line each, on which faults two reports do not have the same verdict."""
    runs: list[dict[tuple[str, int], Result]] = []
    for report in (first, second):
        seen: dict[str, int] = defaultdict(int)
        runs.append({})
        for value in report["faults"]:
            result = result_from(value)
            runs[-1][result.fault, seen[result.fault]] = result
            seen[result.fault] += 1
    lines = []
    for key in sorted(runs[0].keys() | runs[1].keys()):
        one, other = runs[0].get(key), runs[1].get(key)
        if one is None or other is None:
            lines.append(f"{key[0]}: only in the {'second' if one is None else 'first'}")
        elif one.verdict != other.verdict:
            lines.append(f"{key[0]}: {_told(one)} | {_told(other)}")
    return lines


def _told(result: Result) -> str:
    right = "right" if result.right else "error" if result.error else "wrong"
    return f"{right}: {', '.join(result.got) or 'nothing'}"
