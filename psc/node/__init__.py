"""A party's home: identity, certificates, pinned partners, store, settings, datasets, runs."""
