"""What a provider does, whatever its API looks like: payments, refunds, cards, books, faults, time, webhook delivery."""
