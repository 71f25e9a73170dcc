"""A pipeline's configuration: read from YAML, checked, and resolved to frozen values."""
