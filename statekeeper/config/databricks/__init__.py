"""What the configuration knows about Databricks: the names of its folders, and its kinds of compute."""
