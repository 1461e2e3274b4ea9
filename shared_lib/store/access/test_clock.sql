-- Beside grants.sql, and never in production: the operator may run the test clock ahead.
GRANT INSERT, UPDATE ON test_clock TO boxoffice_operator;
