"""The work of `extracting`: read each chunk at the plan's snapshot, and write it as one staged part."""
