from opsctl.facts.base import Facts


class LogsFacts(Facts, frozen=True, kw_only=True, tag="logs"):
    pass
