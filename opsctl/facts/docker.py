from opsctl.facts.base import Facts


class DockerFacts(Facts, frozen=True, kw_only=True, tag="docker"):
    pass
