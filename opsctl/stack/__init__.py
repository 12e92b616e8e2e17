"""The stack file: what belongs to the system, and what to look at."""
