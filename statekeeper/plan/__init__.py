"""The plan of a table: its snapshot, its columns, its window, and the chunks that cover it."""
