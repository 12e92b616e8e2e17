"""What a named SQL query of the stack file returned, and the limits written beside it."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Label, Record, gauge


class Measurement(Record, frozen=True, kw_only=True):
    """One number by name."""

    name: Annotated[str, Label("name")]
    value: Annotated[
        float | None, gauge("opsctl_data_value", "Result of a named query of the stack file")
    ] = None
    warning: Annotated[
        float | None, gauge("opsctl_data_limit", "Limit of a named query", level="warning")
    ] = None
    critical: Annotated[
        float | None, gauge("opsctl_data_limit", "Limit of a named query", level="critical")
    ] = None
    below: Annotated[
        bool, gauge("opsctl_data_limit_is_lower", "1 if too little is the fault, not too much")
    ] = False
    seconds: Annotated[
        float | None, gauge("opsctl_data_query_seconds", "Time of the query", unit="seconds")
    ] = None


class DataFacts(Facts, frozen=True, kw_only=True, tag="data"):
    """One named query; a list of one, so that its name is a label."""

    measurements: list[Measurement] = []
    unit: str = ""
    help: str = ""
    query: str = ""
