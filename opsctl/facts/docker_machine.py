"""Facts of the machine below the containers that only metrics want, under cAdvisor's names."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Metric, Record, beside, gauge


def _of_machine(metric: Metric) -> Metric:
    return beside(metric, boot_id="boot_id", machine_id="machine_id", system_uuid="system_uuid")


class Machine(Record, frozen=True, kw_only=True):
    """The machine below the containers."""

    boot_id: str = ""
    machine_id: str = ""
    system_uuid: str = ""
    cores: Annotated[
        int | None,
        _of_machine(gauge("machine_cpu_cores", "Processors of the machine")),
    ] = None
    memory: Annotated[
        int | None,
        _of_machine(gauge("machine_memory_bytes", "Memory of the machine", unit="bytes")),
    ] = None
