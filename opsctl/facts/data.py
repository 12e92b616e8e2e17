from opsctl.facts.base import Facts


class DataFacts(Facts, frozen=True, kw_only=True, tag="data"):
    pass
