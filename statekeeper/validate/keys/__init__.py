"""The keys of a table: unique columns, and references to the rows of other tables."""
