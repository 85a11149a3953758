-- What a writer hands to a reader that must not answer from before its commit.
--
-- Locks: everything here is new; nothing waits.

SET LOCAL ROLE freshet_owner;

-- Inside a transaction that has written: that transaction. Outside, after the commit: everything that has been committed by
-- now, as a snapshot. Either is one cheap call that reads nothing and assigns no transaction id.
CREATE FUNCTION freshet.token() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
    SELECT pg_catalog.concat_ws(
        ' ',
        freshet.identity(),
        COALESCE(
            pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text,
            pg_catalog.pg_current_snapshot()::pg_catalog.text
        )
    )
$function$;
COMMENT ON FUNCTION freshet.token() IS
    'What a reader must not answer from before: this transaction where it has written, else all that is committed by now.';

REVOKE ALL ON FUNCTION freshet.token() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION freshet.token() TO freshet_reader, freshet_worker;
