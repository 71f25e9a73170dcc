"""Table formats: the published files of a table's extractions as one table that catalogs and engines know."""
