"""What all tables of a run share."""
