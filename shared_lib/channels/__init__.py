"""Channels that deliver messages to customers. `base` is the port; `email_ses` is a channel, `breaker` pauses one."""
