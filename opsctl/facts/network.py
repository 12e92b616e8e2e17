from opsctl.facts.base import Facts


class NetworkFacts(Facts, frozen=True, kw_only=True, tag="network"):
    pass
