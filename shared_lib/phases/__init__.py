"""Every public function here is exactly one transaction over many items. A refusal is a value at its place.

open...     what we are about to do, committed before a provider is asked
lease...    work that is due or stuck, so that one process alone acts on it
settle...   what a provider said, whichever door brings it: the only places where money is recorded
"""
