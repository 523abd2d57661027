"""Study: what is asked for (study files, presets, the keys of ``--set``)."""
