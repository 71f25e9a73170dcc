"""Writes a first configuration with its models, or schemas only, from a database's dictionary.

`dictionary` queries the database; `fields`, `models`, `entries` and `config_text` are pure and turn the result into
text; `draft` and `inference` decide what goes into which file.
"""
