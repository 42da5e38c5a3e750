"""Two-party protocols, one a file: pure scripts that ask their driver to send, receive and compute."""
