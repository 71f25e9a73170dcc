"""Where work is done: in worker processes of this machine, or on Spark."""
