"""What a person types next: commands, spelt exactly, and which of them fit how a run stands."""
