"""What the exporter says of itself; every number declares its metric, as everywhere."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Info, Label, Record, counter, gauge


class CollectorFacts(Record, frozen=True, kw_only=True):
    """How looking at one target went, the last time and since the start."""

    collector: Annotated[str, Label("collector")]
    target: Annotated[str, Label("target")]
    success: Annotated[
        bool | None,
        gauge("opsctl_exporter_collector_success", "1 if the last look at the target brought facts of it"),
    ] = None
    duration: Annotated[
        float | None,
        gauge(
            "opsctl_exporter_collector_duration_seconds",
            "Time of the last look at the target",
            unit="seconds",
        ),
    ] = None
    looks: Annotated[int, counter("opsctl_exporter_collections_total", "Looks at the target")] = 0
    failures: Annotated[
        int,
        counter(
            "opsctl_exporter_collection_failures_total", "Looks that brought no facts: hung, denied, crashed"
        ),
    ] = 0
    succeeded_at: Annotated[
        float | None,
        gauge(
            "opsctl_exporter_collector_last_success_timestamp_seconds",
            "When facts of the target were read last: the age of the data",
            unit="seconds",
        ),
    ] = None


class PathFacts(Record, frozen=True, kw_only=True):
    """One path of the exporter."""

    path: Annotated[str, Label("path")]
    scrapes: Annotated[int, counter("opsctl_exporter_scrapes_total", "Pages asked for")] = 0
    refused: Annotated[
        int, counter("opsctl_exporter_scrapes_refused_total", "Pages refused: too many at once")
    ] = 0
    seconds: Annotated[
        float | None,
        gauge("opsctl_exporter_scrape_duration_seconds", "Time of the last page", unit="seconds"),
    ] = None
    series: Annotated[int | None, gauge("opsctl_exporter_scrape_series", "Series on the last page")] = None


class ProcessFacts(Record, frozen=True, kw_only=True):
    """The process, under the names that every client library uses."""

    cpu: Annotated[
        float | None,
        counter("process_cpu_seconds_total", "User and system time of the process", unit="seconds"),
    ] = None
    open_files: Annotated[int | None, gauge("process_open_fds", "Open file descriptors")] = None
    most_files: Annotated[int | None, gauge("process_max_fds", "Most open file descriptors")] = None
    virtual: Annotated[int | None, gauge("process_virtual_memory_bytes", "Virtual memory", unit="bytes")] = (
        None
    )
    resident: Annotated[
        int | None, gauge("process_resident_memory_bytes", "Resident memory", unit="bytes")
    ] = None
    started_at: Annotated[
        float | None, gauge("process_start_time_seconds", "Start of the process", unit="seconds")
    ] = None
    threads: Annotated[int | None, gauge("opsctl_exporter_threads", "Threads of the process")] = None


class ExporterFacts(Record, frozen=True, kw_only=True):
    """The exporter at one moment."""

    version: Annotated[str, Info("opsctl_build_info", "version", "The running opsctl")] = ""
    python: Annotated[str, Info("opsctl_build_info", "python", "The running opsctl")] = ""
    process: ProcessFacts = ProcessFacts()
    lost_threads: Annotated[
        int, gauge("opsctl_exporter_hung_collections", "Looks given up that have not come back yet")
    ] = 0
    connections: Annotated[int, gauge("opsctl_exporter_connections", "Open client connections")] = 0
    paths: list[PathFacts] = []
    collectors: list[CollectorFacts] = []


class FindingFacts(Record, frozen=True, kw_only=True):
    """The verdict of one check on one target."""

    finding: Annotated[str, Label("finding")]
    service: Annotated[str, Label("service")]
    target: Annotated[str, Label("target")]
    subject: Annotated[str, Label("subject")] = ""
    status: Annotated[str, Label("status")]
    present: Annotated[
        int, gauge("opsctl_finding", "Verdict of a check on a target: 1 for the status that it has")
    ] = 1


class RootCauseFacts(Record, frozen=True, kw_only=True):
    """A root cause that `opsctl diagnose` would name now."""

    finding: Annotated[str, Label("finding")]
    service: Annotated[str, Label("service")]
    target: Annotated[str, Label("target")]
    subject: Annotated[str, Label("subject")] = ""
    status: Annotated[str, Label("status")]
    present: Annotated[int, gauge("opsctl_root_cause", "1 for each root cause that is named now")] = 1
    explains: Annotated[
        int, gauge("opsctl_root_cause_explained_findings", "Findings that the root cause explains")
    ] = 0


class VerdictFacts(Record, frozen=True, kw_only=True):
    """All verdicts at one moment, and how much of the stack they are based on."""

    findings: list[FindingFacts] = []
    root_causes: list[RootCauseFacts] = []
    checks: Annotated[
        dict[str, int], gauge("opsctl_checks", "Checks by what became of them", key="state")
    ] = {}
    taken_at: Annotated[
        float | None,
        gauge("opsctl_findings_timestamp_seconds", "When the verdicts were reached", unit="seconds"),
    ] = None
    seconds: Annotated[
        float | None,
        gauge("opsctl_findings_duration_seconds", "Time to reach the verdicts", unit="seconds"),
    ] = None


class DialFacts(Record, frozen=True, kw_only=True):
    """What `/probe` says of a TCP port or a name."""

    success: Annotated[bool, gauge("probe_success", "1 if it answered as it should")] = False
    duration: Annotated[
        float | None,
        gauge(
            "probe_duration_seconds",
            "Time of the whole probe; of a page to its end, the better of two tries",
            unit="seconds",
        ),
    ] = None
    lookup: Annotated[
        float | None,
        gauge("probe_dns_lookup_time_seconds", "Time of the name lookup", unit="seconds"),
    ] = None
    protocol: Annotated[int | None, gauge("probe_ip_protocol", "4 or 6")] = None
    answers: Annotated[int | None, gauge("probe_dns_answer_rrs", "Addresses that the name has")] = None


class ProbeFallbackFacts(Record, frozen=True, kw_only=True):
    """What every probe page has, where the facts themselves do not say it."""

    success: Annotated[bool | None, gauge("probe_success", "1 if it answered as it should")] = None
    duration: Annotated[
        float | None,
        gauge(
            "probe_duration_seconds",
            "Time of the whole probe; of a page to its end, the better of two tries",
            unit="seconds",
        ),
    ] = None
