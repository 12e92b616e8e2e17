from opsctl.facts.base import Facts


class TlsFacts(Facts, frozen=True, kw_only=True, tag="tls"):
    pass
