from opsctl.facts.base import Facts


class ConfigFacts(Facts, frozen=True, kw_only=True, tag="config"):
    pass
