"""What the configuration knows of Databricks: the names of its folders, and the kinds of its compute."""
