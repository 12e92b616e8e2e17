from opsctl.probes.base import ProbeContext, ProbeError


def probe(context: ProbeContext):
    raise ProbeError("unsupported", "not written yet")
