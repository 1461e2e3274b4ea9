"""Mail: rendering, and the templates in English and Russian."""
