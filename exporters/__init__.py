"""The Prometheus exporter: one process, one path per kind, fed by the same facts as `opsctl diagnose`."""
