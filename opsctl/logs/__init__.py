"""Reading logs: bounded tails, formats, entries that span lines, classes, templates.

All but `tail` is pure: lines in, values out, on any bytes.
"""
