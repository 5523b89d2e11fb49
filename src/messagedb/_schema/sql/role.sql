-- The role that clients connect as. A role belongs to the whole cluster: an installation in another database may
-- be creating it at this moment, so both ways of losing that race are as good as winning it.
DO $messagedb$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'message_store') THEN
        CREATE ROLE message_store LOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
END
$messagedb$;
