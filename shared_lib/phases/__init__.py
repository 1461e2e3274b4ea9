"""Every public function here is exactly one transaction over many items. A refusal is a value at its place.

open...     what we are about to do, committed before anybody is asked
claim...    a lease on work that is due or stuck
settle...   what a provider said, whoever brought the news: the only places where money is recorded
"""
