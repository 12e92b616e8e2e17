from opsctl.facts.base import Facts


class HttpFacts(Facts, frozen=True, kw_only=True, tag="http"):
    pass
