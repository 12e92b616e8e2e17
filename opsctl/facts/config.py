"""What is known of a service's env file: names and verdicts. Values never leave the probe."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Label, Record, gauge


class Variable(Record, frozen=True, kw_only=True):
    """One variable that matters: required, secret, or judged for production.

    `verdict` is a word, never the value: for a secret `placeholder`, `short` or `repeated`; for a
    switch `debug`; for allowed origins `any-origin`; for the environment `not-production`.
    """

    name: Annotated[str, Label("name")]
    required: bool = False
    secret: bool = False
    present: Annotated[
        bool | None,
        gauge("opsctl_config_variable_present", "1 if the variable is set and not empty"),
    ] = None
    length: int | None = None
    verdict: Annotated[str, Label("verdict")] = ""


class ConfigFacts(Facts, frozen=True, kw_only=True, tag="config"):
    """One env file at one moment."""

    up: Annotated[bool, gauge("opsctl_config_up", "1 if the env file exists")] = True
    path: str = ""
    production: Annotated[
        bool, gauge("opsctl_config_production", "1 if it is judged as a production configuration")
    ] = True
    count: Annotated[int | None, gauge("opsctl_config_variables", "Variables in the env file")] = None
    missing: Annotated[
        int | None, gauge("opsctl_config_variables_missing", "Required variables that are empty or absent")
    ] = None
    modified_at: Annotated[
        float | None,
        gauge("opsctl_config_modified_timestamp_seconds", "When the file was last changed", unit="seconds"),
    ] = None
    variables: list[Variable] = []
