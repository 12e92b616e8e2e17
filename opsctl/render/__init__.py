"""Diagnosis and findings to text: one module per output format."""
