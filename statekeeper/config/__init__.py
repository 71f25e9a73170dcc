"""A pipeline as its YAML file describes it: read, checked, and resolved to frozen values."""
