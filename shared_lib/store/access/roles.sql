-- The roles of Boxoffice, and the database's owner. Run by an administrator on Boxoffice's database, at every deployment:
-- it changes nothing that is already so. PostgreSQL 15 to 18; a superuser, or a role that may create roles and owns the
-- database. Passwords are set beside it (roles.py); what each role may do is in grants.sql.
DO $$
DECLARE
    name text;
    wanted text[] := ARRAY['boxoffice_owner', 'boxoffice_door', 'boxoffice_relay', 'boxoffice_support', 'boxoffice_operator'];
    change record;
    -- In ms, as in shared_lib/store/bounds.py (a test compares).
    bounds text[] := ARRAY['lock_timeout', '500', 'statement_timeout', '5000',
                           'idle_in_transaction_session_timeout', '15000', 'transaction_timeout', '15000'];
BEGIN
    FOREACH name IN ARRAY wanted LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another deployment on this server made it at the same moment
            END;
        END IF;
        -- Only where it differs: PostgreSQL refuses even "no superuser" to an administrator who is none.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = name
                   AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR NOT rolcanlogin)) THEN
            EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', name);
        END IF;
        -- What a role may become is as good as what it is.
        FOR change IN SELECT format('REVOKE %I FROM %I', granted.rolname, name) AS command
                      FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid
                      WHERE member = (SELECT oid FROM pg_roles WHERE rolname = name) LOOP
            EXECUTE change.command;
        END LOOP;
    END LOOP;

    -- A door asks for these as it connects, and PgBouncer ignores what a connection asks for: behind it they hold all the same.
    -- What reaches the server wins over them. transaction_timeout is of PostgreSQL 17.
    FOR place IN 1 .. array_length(bounds, 1) BY 2 LOOP
        IF current_setting(bounds[place], true) IS NOT NULL THEN
            EXECUTE format('ALTER ROLE boxoffice_door SET %I = %s', bounds[place], bounds[place + 1]);
        END IF;
    END LOOP;

    -- An administrator who is no superuser gives away only what it could take back.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT boxoffice_owner TO %I', current_user);
    END IF;

    -- Everything in the database belongs to the owner, also what was made before there were roles.
    IF pg_get_userbyid((SELECT datdba FROM pg_database WHERE datname = current_database())) <> 'boxoffice_owner' THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO boxoffice_owner', current_database());
    END IF;
    FOR change IN
        SELECT format('ALTER TABLE %s OWNER TO boxoffice_owner', oid::regclass) AS command FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
          AND pg_get_userbyid(relowner) <> 'boxoffice_owner'
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO boxoffice_owner', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) <> 'boxoffice_owner'
          AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE change.command;
    END LOOP;

    -- A database that was made before PostgreSQL 15 lets everyone create tables.
    IF EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl) AS acl
               WHERE nspname = 'public' AND acl.grantee = 0 AND acl.privilege_type = 'CREATE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        ALTER SCHEMA public OWNER TO pg_database_owner;
    END IF;
END $$;
