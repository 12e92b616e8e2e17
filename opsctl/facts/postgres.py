from opsctl.facts.base import Facts


class PostgresFacts(Facts, frozen=True, kw_only=True, tag="postgres"):
    pass
