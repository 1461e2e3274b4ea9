"""Stand-ins for the neighbours of Boxoffice: the Auth service and the gateway. For development only."""
