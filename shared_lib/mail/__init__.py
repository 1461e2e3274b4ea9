"""Mails to customers: rendered from the templates beside the code. Sends nothing."""
