"""From text to checked data: YAML, references to the environment and to secrets, and problems with their places."""
