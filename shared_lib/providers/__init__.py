"""Payment providers: one port (base.py), one file per provider."""
