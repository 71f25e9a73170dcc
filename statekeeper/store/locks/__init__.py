"""Locks that one process holds at a time: flock on a local disk, leases on a shared one."""
