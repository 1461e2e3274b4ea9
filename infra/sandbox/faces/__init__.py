"""What the provider looks like from outside: one package per wire format, and the checkout page that all of them share."""
