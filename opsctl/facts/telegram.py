from opsctl.facts.base import Facts


class TelegramFacts(Facts, frozen=True, kw_only=True, tag="telegram"):
    pass
