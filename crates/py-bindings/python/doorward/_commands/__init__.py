"""The commands of ``python -m doorward``, a module each."""
