"""How fast cachedmodel is, beside its peers and beside floors written by hand: `python -m benchmarks`."""
