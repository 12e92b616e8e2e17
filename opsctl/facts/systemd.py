from opsctl.facts.base import Facts


class SystemdFacts(Facts, frozen=True, kw_only=True, tag="systemd"):
    pass
