"""Locks that one process at a time holds: flock on a local disk, leases on a shared one."""
