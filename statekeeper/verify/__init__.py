"""Whether what is published still is what was committed."""
