"""Text for people: amounts, tables, what a terminal can show, and what must not be shown."""
