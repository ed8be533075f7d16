"""What the commands of ``cachedmodel`` do, a file each; `cli` has their names."""
