from opsctl.facts.base import Facts


class HostFacts(Facts, frozen=True, kw_only=True, tag="host"):
    pass
