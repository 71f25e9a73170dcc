"""Object stores: whole objects, conditional writes, no folders. The only package that uses obstore."""
