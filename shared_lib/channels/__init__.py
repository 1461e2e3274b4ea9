"""Ways of telling a customer what happened. `base` is the port; each other module is one channel."""
