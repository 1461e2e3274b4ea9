"""YooKassa's wire format: JSON under /v3, amounts as text, unsigned notifications."""
