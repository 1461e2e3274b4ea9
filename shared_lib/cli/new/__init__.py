"""`boxoffice new`: write every place of the source tree that a new door must stand in."""
