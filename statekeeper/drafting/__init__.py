"""A first configuration and its models, written from what a database says of its tables.

`dictionary` asks the database; `fields`, `models` and `config_text` turn the answers into text, purely.
"""
