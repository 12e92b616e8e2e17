from opsctl.facts.base import Facts


class PhpFacts(Facts, frozen=True, kw_only=True, tag="php"):
    pass
