"""How Boxoffice sends requests to other servers: aiohttp below httpx's interface (decision 0040)."""
