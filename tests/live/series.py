"""Reading one number off a page."""

from __future__ import annotations

from opsctl.metrics import Series


def value(series: Series, metric: str, **labels: str) -> float:
    """Return the value of the one series of a metric that has these labels."""
    (text,) = [text for own, text in series[metric] if labels.items() <= own.items()]
    return float(text)
