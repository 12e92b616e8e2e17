"""What is known of a log: errors of the last ten minutes by class and by template."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Info, Label, Record, counter, gauge


class LogTemplate(Record, frozen=True, kw_only=True):
    """Errors that differ only in numbers and names: one kind of event.

    `category` is connection, database or application; `peer` what it talked to (postgres, redis,
    telegram, upstream, dns); `marker` a word for texts that name their cause (telegram-conflict,
    address-in-use, disk-full, …). Texts are masked and redacted.
    """

    id: Annotated[str, Label("template")]
    category: Annotated[str, Label("class")]
    marker: Annotated[str, Label("marker")] = ""
    peer: Annotated[str, Label("peer")] = ""
    text: str = ""
    example: str = ""
    count: Annotated[
        int, gauge("opsctl_log_template_entries", "Entries of one kind of error in the window")
    ] = 0
    recent: Annotated[
        int, gauge("opsctl_log_template_recent_entries", "Entries of one kind of error in the last minute")
    ] = 0
    fatal: Annotated[bool, gauge("opsctl_log_template_fatal", "1 if the error says it is fatal")] = False
    first_seen: Annotated[
        float | None,
        gauge("opsctl_log_template_first_seen_timestamp_seconds", "First time read", unit="seconds"),
    ] = None
    last_seen: Annotated[
        float | None,
        gauge("opsctl_log_template_last_seen_timestamp_seconds", "Last time", unit="seconds"),
    ] = None
    longest_gap_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_log_template_longest_gap_seconds",
            "Longest pause between its last entries",
            unit="seconds",
        ),
    ] = None
    undated: Annotated[
        int,
        gauge("opsctl_log_template_undated_entries", "Entries that may be of now, which cannot be told"),
    ] = 0
    ordinary_since: Annotated[
        int | None,
        gauge("opsctl_log_template_ordinary_since", "Ordinary entries of the log after its last one"),
    ] = None
    ordinary_between: Annotated[
        int | None,
        gauge("opsctl_log_template_ordinary_between", "Most ordinary entries between two of its last"),
    ] = None
    good_since: Annotated[
        int | None,
        gauge("opsctl_log_template_good_since", "Answered requests or words of recovery after its last one"),
    ] = None
    good_between: Annotated[
        int | None,
        gauge("opsctl_log_template_good_between", "Most of these between two of its last"),
    ] = None


class LogTemplateTotal(Record, frozen=True, kw_only=True):
    """Errors of one kind since the log has been followed; `other` are those without a name of their own.

    The text is that of the first one, masked and redacted.
    """

    id: Annotated[str, Label("template")]
    category: Annotated[str, Label("class")]
    text: Annotated[str, Info("opsctl_log_template_info", "text", "What a kind of error says")] = ""
    count: Annotated[int, counter("opsctl_log_template_errors_total", "Errors of one kind")] = 0


class LogTotals(Record, frozen=True, kw_only=True):
    """What a log that is followed has brought since then; the exporter's alone."""

    errors: Annotated[
        dict[str, int], counter("opsctl_log_error_entries_total", "Errors by class", key="class")
    ] = {}
    lines: Annotated[int, counter("opsctl_log_lines_total", "Lines that were followed")] = 0
    unparsed: Annotated[
        int,
        counter(
            "opsctl_log_unparsed_lines_total", "Lines that were followed and are not of the log's format"
        ),
    ] = 0
    bytes: Annotated[int, counter("opsctl_log_bytes_total", "Bytes that were followed", unit="bytes")] = 0
    rotations: Annotated[
        int | None, counter("opsctl_log_rotations_total", "Times that another file took the log's name")
    ] = None
    truncations: Annotated[
        int | None, counter("opsctl_log_truncations_total", "Times that the file was emptied")
    ] = None
    unread: Annotated[
        int | None, gauge("opsctl_log_unread_bytes", "Bytes that are still to be read", unit="bytes")
    ] = None
    read_at: Annotated[
        float | None,
        gauge("opsctl_log_followed_timestamp_seconds", "When new lines were looked for", unit="seconds"),
    ] = None
    templates: list[LogTemplateTotal] = []


class LogsFacts(Facts, frozen=True, kw_only=True, tag="logs"):
    """One log at one moment: a file, a unit's journal, or the logs of a service's containers."""

    up: Annotated[bool, gauge("opsctl_log_up", "1 if the log is there")] = True
    source: str = ""
    command: str = ""
    format: str = "plain"
    window_seconds: Annotated[
        float, gauge("opsctl_log_window_seconds", "How far back errors are counted", unit="seconds")
    ] = 600.0
    covered_seconds: Annotated[
        float | None,
        gauge("opsctl_log_covered_seconds", "How far back the log was read", unit="seconds"),
    ] = None
    taken_at: Annotated[
        float | None, gauge("opsctl_log_read_timestamp_seconds", "When it was read", unit="seconds")
    ] = None
    last_entry_at: Annotated[
        float | None,
        gauge("opsctl_log_last_entry_timestamp_seconds", "Time of the last entry", unit="seconds"),
    ] = None
    silent_after_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_log_silent_after_seconds", "Silence that the stack file calls too long", unit="seconds"
        ),
    ] = None
    errors: Annotated[
        dict[str, int] | None, gauge("opsctl_log_errors", "Errors in the window by class", key="class")
    ] = None
    entries: Annotated[int | None, gauge("opsctl_log_entries", "Entries in the window")] = None
    untimed_errors: Annotated[
        int | None, gauge("opsctl_log_untimed_errors", "Errors read whose time is not known")
    ] = None
    lines_parsed: Annotated[int | None, gauge("opsctl_log_lines_parsed", "Lines that were understood")] = None
    lines_unparsed: Annotated[
        int | None, gauge("opsctl_log_lines_unparsed", "Lines that were not of the log's format")
    ] = None
    bytes_read: Annotated[int | None, gauge("opsctl_log_read_bytes", "Bytes read", unit="bytes")] = None
    size_bytes: Annotated[int | None, gauge("opsctl_log_size_bytes", "Size of the file", unit="bytes")] = None
    truncated: Annotated[
        bool | None, gauge("opsctl_log_truncated", "1 if the window was not read to its beginning")
    ] = None
    templates: list[LogTemplate] = []
    totals: LogTotals | None = None
