from opsctl.facts.base import Facts


class NginxFacts(Facts, frozen=True, kw_only=True, tag="nginx"):
    pass
