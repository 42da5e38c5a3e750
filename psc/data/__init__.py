"""Tables in and out: sources, key kinds and their normalisation, duplicates, released rows, dataset versions."""
