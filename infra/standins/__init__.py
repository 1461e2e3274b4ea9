"""Stand-ins for the neighbours of Boxoffice on one machine: the cinema's Auth service, and a gateway in place of NGINX."""
