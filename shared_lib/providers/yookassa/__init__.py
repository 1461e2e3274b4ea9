"""YooKassa: amounts as text, a page of one hour, unsigned webhooks that are hints, receipts for the Russian tax authority."""
