from opsctl.facts.base import Facts


class ContainerFacts(Facts, frozen=True, kw_only=True, tag="container"):
    pass
