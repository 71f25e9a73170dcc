"""A first configuration and its models, or schemas alone, written from what a database says of its tables.

`dictionary` asks the database; `fields`, `models`, `entries` and `config_text` turn the answers into text, purely;
`draft` and `inference` say what goes into which text.
"""
