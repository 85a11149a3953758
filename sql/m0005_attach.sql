-- Putting the triggers of a cache on the tables of the application, and taking them off. Each cache has functions of its
-- own that call these, with a parameter for each table and column: freshet.attach() and freshet.detach() are those of the
-- first.
--
-- They are called by the owner of the tables (or a superuser) who is also a member of freshet_owner, and run with
-- the caller's rights. They serialise against each other and against migrations with an advisory transaction lock,
-- and journal a change of everything in the cache in their own transaction: attach waits out every writer that the triggers
-- did not see.
--
-- Locks on the application's tables, held until the caller's transaction ends, so call them in one of their own:
--   attach  SHARE ROW EXCLUSIVE on all its tables: writers wait, readers do not. Where a trigger must be dropped (another
--           level than before) as detach. Where nothing differs: none.
--   detach  ACCESS EXCLUSIVE on all its tables, which is what DROP TRIGGER takes.
-- They are taken all at once and NOWAIT, never queued for: whoever queues stops all who come later, and locking one
-- after another makes some writer the victim of a deadlock. A try that fails gives back what it got and is repeated
-- after about 10 ms, lock_tries times; then the call fails with SQLSTATE 55P03 and says who is in the way.

SET LOCAL ROLE freshet_owner;

CREATE FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    names constant text := pg_catalog.array_to_string(tables, ', ');
    holders text;
BEGIN
    FOR attempt IN 1 .. GREATEST(tries, 1) LOOP
        -- A subtransaction: failing in it releases the locks that the same try did get, and leaves the caller's
        -- transaction as it was.
        BEGIN
            EXECUTE pg_catalog.format('LOCK TABLE %s IN %s MODE NOWAIT', names, mode);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
        PERFORM pg_catalog.pg_sleep(0.005 + pg_catalog.random() * 0.01);
    END LOOP;

    SELECT pg_catalog.string_agg(DISTINCT l.pid::text, ', ')
    INTO holders
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE l.granted
        AND l.locktype = 'relation'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
        AND l.pid <> pg_catalog.pg_backend_pid()
        AND pg_catalog.format('%I.%I', n.nspname, c.relname) = ANY (tables);
    RAISE EXCEPTION 'could not lock % in % tries', names, tries
        USING ERRCODE = 'lock_not_available',
              DETAIL = pg_catalog.format('Backends holding locks there now: %s.', COALESCE(holders, 'none')),
              HINT = 'Nothing was changed. Call it again when fewer long transactions run, or with more lock_tries.';
END
$function$;
COMMENT ON FUNCTION freshet.lock_tables(text[], text, integer) IS 'Locks tables at once without queueing. Internal.';

-- Refuses a table that the triggers could not watch, saying why and what to do; returns its qualified name.
CREATE FUNCTION freshet.check_table(subject text, relation regclass, columns jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    table_name text;
    kind text;
    facts record;
    wanted record;
    type_oid oid;
    is_exact boolean;
BEGIN
    SELECT c.relkind, c.relispartition, c.relpersistence, c.relowner, c.relname, n.nspname
    INTO facts
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the % table is NULL or does not exist', subject
            USING ERRCODE = 'undefined_table',
                  HINT = (
                      SELECT pg_catalog.format(
                          'Give the names of the tables: %s.', pg_catalog.string_agg(t.subject, ', ' ORDER BY t.place)
                      )
                      FROM freshet.cache_table AS t
                      WHERE t.cache = (SELECT s.cache FROM freshet.cache_table AS s WHERE s.subject = check_table.subject)
                  );
    END IF;
    table_name := pg_catalog.format('%I.%I', facts.nspname, facts.relname);

    kind := CASE
        WHEN facts.relispartition THEN 'a partition'
        WHEN facts.relkind = 'p' THEN 'partitioned'
        WHEN facts.relkind = 'f' THEN 'a foreign table'
        WHEN facts.relkind = 'v' THEN 'a view'
        WHEN facts.relkind = 'm' THEN 'a materialized view'
        WHEN facts.relkind <> 'r' THEN 'not a table'
        WHEN facts.relpersistence = 't' THEN 'a temporary table'
        WHEN facts.nspname IN ('freshet', 'pg_catalog', 'information_schema') THEN 'not a table of an application'
        WHEN EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE relation IN (i.inhrelid, i.inhparent)) THEN
            'part of table inheritance'
    END;
    IF kind IS NOT NULL THEN
        RAISE EXCEPTION 'the % table % cannot be attached: it is %', subject, table_name, kind
            USING ERRCODE = 'wrong_object_type',
                  HINT = CASE facts.relkind
                      WHEN 'v' THEN 'Attach the table behind the view.'
                      WHEN 'f' THEN 'Attach the table on the server that has it.'
                      ELSE 'Attach an ordinary table. A statement on a partition or a child fires that table''s '
                          'triggers only, so changes would be missed.'
                  END;
    END IF;
    IF NOT pg_catalog.pg_has_role(CURRENT_USER, facts.relowner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', table_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format(
                      'Connect as a member of both %I and freshet_owner.', pg_catalog.pg_get_userbyid(facts.relowner)
                  );
    END IF;

    FOR wanted IN
        SELECT d.kind, columns ->> d.role AS name
        FROM freshet.cache_column AS d
        WHERE d.subject = check_table.subject
        ORDER BY d.place
    LOOP
        SELECT a.atttypid, l.collisdeterministic INTO type_oid, is_exact
        FROM pg_catalog.pg_attribute AS a
        LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
        WHERE a.attrelid = relation AND a.attname = wanted.name::name AND a.attnum > 0 AND NOT a.attisdropped;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'column % of the % table % does not exist',
                COALESCE(pg_catalog.quote_ident(wanted.name), 'NULL'), subject, table_name
                USING ERRCODE = 'undefined_column',
                      HINT = (
                          SELECT pg_catalog.format(
                              'Name the columns: %s(..., %s).', k.attach_name,
                              pg_catalog.string_agg(d.parameter || ' => ...', ', ' ORDER BY t.place, d.place)
                          )
                          FROM freshet.cache AS k
                          JOIN freshet.cache_table AS t ON t.cache = k.name
                          JOIN freshet.cache_column AS d ON d.subject = t.subject
                          WHERE k.name = (SELECT s.cache FROM freshet.cache_table AS s WHERE s.subject = check_table.subject)
                          GROUP BY k.attach_name
                      );
        END IF;
        -- bigint, smallint, integer. Not a domain: its cast could fail at any write.
        IF wanted.kind = 'integer' AND type_oid NOT IN (20, 21, 23) THEN
            RAISE EXCEPTION 'column %.% has type %, not smallint, integer or bigint',
                table_name, pg_catalog.quote_ident(wanted.name), pg_catalog.format_type(type_oid, NULL)
                USING ERRCODE = 'datatype_mismatch',
                      HINT = 'Freshet''s keys are smallint, integer or bigint, and no domains over them.';
        END IF;
        -- text, varchar. Not char(n), citext or a nondeterministic collation: there, different bytes are equal, and a
        -- reader that asks for one spelling would never hear of a change to another.
        IF wanted.kind = 'text' AND NOT (type_oid IN (25, 1043) AND is_exact) THEN
            RAISE EXCEPTION 'column %.% has type %, not text or varchar with a deterministic collation',
                table_name, pg_catalog.quote_ident(wanted.name), pg_catalog.format_type(type_oid, NULL)
                USING ERRCODE = 'datatype_mismatch',
                      HINT = 'Freshet compares texts byte for byte, so two that differ must not count as equal.';
        END IF;
    END LOOP;
    RETURN table_name;
END
$function$;
COMMENT ON FUNCTION freshet.check_table(text, regclass, jsonb) IS 'Refuses a table that cannot be attached. Internal.';

-- All tables of a cache, in the order of their subjects.
CREATE FUNCTION freshet.check_tables(subjects text[], relations regclass[], columns jsonb) RETURNS text[]
LANGUAGE sql SET search_path = freshet, pg_temp AS $function$
    SELECT pg_catalog.array_agg(freshet.check_table(r.subject, r.relation, columns -> r.subject) ORDER BY r.place)
    FROM ROWS FROM (pg_catalog.unnest(subjects), pg_catalog.unnest(relations))
        WITH ORDINALITY AS r (subject, relation, place)
$function$;
COMMENT ON FUNCTION freshet.check_tables(text[], regclass[], jsonb) IS
    'Refuses tables that cannot be attached, and returns their names. Internal.';

-- The worker resolves changes by reading these columns, and no others.
CREATE FUNCTION freshet.worker_may_read(relation regclass, columns jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = freshet, pg_temp AS $function$
    SELECT pg_catalog.has_schema_privilege('freshet_worker', c.relnamespace, 'USAGE')
        AND (
            SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege('freshet_worker', c.oid, a.attnum, 'SELECT'))
            FROM pg_catalog.pg_attribute AS a
            JOIN pg_catalog.jsonb_each_text(columns) AS w ON w.value::name = a.attname
            WHERE a.attrelid = c.oid
        )
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$function$;
COMMENT ON FUNCTION freshet.worker_may_read(regclass, jsonb) IS 'Whether freshet_worker may read them. Internal.';

CREATE FUNCTION freshet.let_worker_read(relation regclass, columns jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    names record;
BEGIN
    SELECT n.oid AS schema_oid, n.nspname, n.nspowner, c.relname
    INTO names
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation;

    EXECUTE pg_catalog.format(
        'GRANT SELECT (%s) ON %I.%I TO freshet_worker',
        (
            SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(w.value), ', ')
            FROM pg_catalog.jsonb_each_text(columns) AS w
        ),
        names.nspname, names.relname
    );
    IF pg_catalog.has_schema_privilege('freshet_worker', names.schema_oid, 'USAGE') THEN
        RETURN;
    END IF;
    IF NOT pg_catalog.pg_has_role(CURRENT_USER, names.nspowner, 'USAGE') THEN
        RAISE EXCEPTION 'freshet_worker has no USAGE on schema %, and % may not grant it',
            pg_catalog.quote_ident(names.nspname), pg_catalog.quote_ident(CURRENT_USER)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format(
                      'Have the owner of the schema run GRANT USAGE ON SCHEMA %I TO freshet_worker.', names.nspname
                  );
    END IF;
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO freshet_worker', names.nspname);
END
$function$;
COMMENT ON FUNCTION freshet.let_worker_read(regclass, jsonb) IS 'Grants freshet_worker these columns. Internal.';

-- What attach installs: every trigger, the body of its function, and how it is declared.
CREATE FUNCTION freshet.planned_triggers(cache text, columns jsonb, level text)
RETURNS TABLE (subject text, trigger_name text, source text, declaration text)
LANGUAGE sql STABLE SET search_path = freshet, pg_temp AS $function$
    SELECT
        t.subject,
        pg_catalog.format('freshet_%s_%s', t.subject, e.event),
        freshet.trigger_source(t.subject, e.event, columns -> t.subject),
        e.declaration
    FROM freshet.cache_table AS t
    CROSS JOIN LATERAL (
        VALUES
            ('statement', 'insert', 'AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', 'update',
                'AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', 'delete', 'AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'),
            ('row', 'row',
                pg_catalog.format('AFTER %s ON %%s FOR EACH ROW', pg_catalog.array_to_string(t.events, ' OR '))),
            -- TRUNCATE has no row triggers; a replication apply process fires this one too.
            (NULL, 'truncate', 'AFTER TRUNCATE ON %s FOR EACH STATEMENT')
    ) AS e (level, event, declaration)
    WHERE t.cache = planned_triggers.cache
        AND COALESCE(e.level, planned_triggers.level) = planned_triggers.level
        AND (e.level IS DISTINCT FROM 'statement' OR e.event = ANY (t.events))
    ORDER BY 1, 2
$function$;
COMMENT ON FUNCTION freshet.planned_triggers(text, jsonb, text) IS 'What attaching a cache installs. Internal.';

-- Attaches the tables of a cache. Returns true if anything was changed, false if all was as wanted already; so it may be
-- called at every deployment. Called again it mends: missing or disabled triggers, a swapped table, other columns,
-- another level, and functions generated by an older version.
--
--   relations  the tables, in the order in which the cache declares them
--   columns    {subject: {role: name of the column}}
CREATE FUNCTION freshet.attach_cache(
    cache text,
    relations regclass[],
    columns jsonb,
    level text DEFAULT 'statement',
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
#variable_conflict use_variable
DECLARE
    attach_name text;
    subjects text[];
    read_tables boolean[];
    names text[];
    others text;
    stale text[];
    item record;
BEGIN
    SELECT
        k.attach_name, pg_catalog.array_agg(t.subject ORDER BY t.place),
        pg_catalog.array_agg(t.is_read ORDER BY t.place)
    INTO attach_name, subjects, read_tables
    FROM freshet.cache AS k
    JOIN freshet.cache_table AS t ON t.cache = k.name
    WHERE k.name = attach_cache.cache
    GROUP BY k.attach_name;
    IF subjects IS NULL OR pg_catalog.cardinality(relations) IS DISTINCT FROM pg_catalog.cardinality(subjects) THEN
        RAISE EXCEPTION 'cache % is not declared, or has another number of tables', pg_catalog.quote_nullable(cache)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'See freshet.cache_table.';
    END IF;
    IF level IS NULL OR level NOT IN ('statement', 'row') THEN
        RAISE EXCEPTION 'level % is not known', COALESCE(pg_catalog.quote_literal(level), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use ''statement'', or ''row'' where a logical replication subscription writes the tables.';
    END IF;
    IF EXISTS (
        SELECT FROM pg_catalog.unnest(relations) AS r (relation)
        GROUP BY r.relation HAVING pg_catalog.count(r.relation) > 1
    ) THEN
        RAISE EXCEPTION '% must be % tables',
            pg_catalog.array_to_string(subjects, ', '), pg_catalog.cardinality(subjects)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each table once.';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    -- May these tables be attached at all?
    names := freshet.check_tables(subjects, relations, columns);
    IF level = 'statement'
        AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srrelid = ANY (relations))
    THEN
        RAISE EXCEPTION 'a subscription writes these tables, and fires no statement triggers'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = pg_catalog.format('Call %s(..., level => ''row'').', attach_name);
    END IF;
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', o.schema_name, o.table_name, o.subject), ', ')
    INTO others
    FROM freshet.attachment AS o
    WHERE o.cache = attach_cache.cache
        AND names[pg_catalog.array_position(subjects, o.subject)]
            <> pg_catalog.format('%I.%I', o.schema_name, o.table_name);
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = pg_catalog.format(
                      'Run SELECT %s() first; in one transaction with attach, no change is missed.',
                      pg_catalog.replace(attach_name, '.attach', '.detach')
                  );
    END IF;

    -- Is all as wanted already?
    IF (SELECT pg_catalog.bool_and(v.ok OR v.triggers_enabled AND v.problem LIKE 'row-level security%')
        FROM freshet.attached AS v
        WHERE v.cache = attach_cache.cache)
        AND NOT EXISTS (
            SELECT FROM freshet.attachment AS o
            WHERE o.cache = attach_cache.cache
                AND (o.level, o.columns) IS DISTINCT FROM (attach_cache.level, attach_cache.columns -> o.subject)
        )
        AND NOT EXISTS (
            SELECT
            FROM freshet.planned_triggers(cache, columns, level) AS w
            LEFT JOIN pg_catalog.pg_trigger AS t
                ON t.tgrelid = relations[pg_catalog.array_position(subjects, w.subject)] AND t.tgname = w.trigger_name
            LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
            WHERE p.prosrc IS DISTINCT FROM w.source
        )
        AND (
            SELECT pg_catalog.bool_and(freshet.worker_may_read(r.relation, columns -> r.subject))
            FROM ROWS FROM (
                pg_catalog.unnest(relations), pg_catalog.unnest(subjects), pg_catalog.unnest(read_tables)
            ) AS r (relation, subject, is_read)
            WHERE r.is_read
        )
    THEN
        RETURN false;
    END IF;

    -- Triggers of this cache that are not wanted any more: those of the other level.
    SELECT pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, names[r.place]))
    INTO stale
    FROM pg_catalog.unnest(relations) WITH ORDINALITY AS r (relation, place)
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.relation AND NOT t.tgisinternal
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'freshet'
        AND EXISTS (
            SELECT FROM freshet.cache_table AS s
            WHERE s.cache = attach_cache.cache AND p.proname = ANY (freshet.function_names(s.subject))
        )
        AND t.tgname NOT IN (
            SELECT w.trigger_name
            FROM freshet.planned_triggers(cache, columns, level) AS w
            WHERE w.subject = subjects[r.place]
        );
    PERFORM freshet.lock_tables(
        names, CASE WHEN stale IS NULL THEN 'SHARE ROW EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END, lock_tries
    );
    -- The names were looked up before there was a lock.
    IF names <> freshet.check_tables(subjects, relations, columns) THEN
        RAISE EXCEPTION 'a table was renamed meanwhile' USING ERRCODE = 'lock_not_available', HINT = 'Call it again.';
    END IF;

    FOR item IN SELECT s.command FROM pg_catalog.unnest(stale) AS s (command) LOOP
        EXECUTE item.command;
    END LOOP;
    FOR item IN
        SELECT
            w.trigger_name,
            pg_catalog.substr(w.trigger_name, pg_catalog.length('freshet_') + 1) AS function_name,
            w.source,
            names[pg_catalog.array_position(subjects, w.subject)] AS table_name,
            w.declaration
        FROM freshet.planned_triggers(cache, columns, level) AS w
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE OR REPLACE FUNCTION freshet.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
            'SET search_path = freshet, pg_temp AS %L',
            item.function_name, item.source
        );
        EXECUTE pg_catalog.format('ALTER FUNCTION freshet.%I() OWNER TO freshet_owner', item.function_name);
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION freshet.%I() FROM PUBLIC', item.function_name);
        -- OR REPLACE and ENABLE: SHARE ROW EXCLUSIVE, which we hold.
        EXECUTE pg_catalog.format(
            'CREATE OR REPLACE TRIGGER %I %s EXECUTE FUNCTION freshet.%I()',
            item.trigger_name, pg_catalog.format(item.declaration, item.table_name), item.function_name
        );
        -- ALWAYS: also under session_replication_role = replica, which restores and replication apply use.
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', item.table_name, item.trigger_name);
    END LOOP;

    PERFORM freshet.let_worker_read(r.relation, columns -> r.subject)
    FROM ROWS FROM (
        pg_catalog.unnest(relations), pg_catalog.unnest(subjects), pg_catalog.unnest(read_tables)
    ) AS r (relation, subject, is_read)
    WHERE r.is_read;

    DELETE FROM freshet.attachment AS o WHERE o.cache = attach_cache.cache;
    INSERT INTO freshet.attachment (subject, cache, schema_name, table_name, columns, level, trigger_names)
    SELECT
        k.subject, attach_cache.cache, n.nspname, c.relname, attach_cache.columns -> k.subject, attach_cache.level,
        pg_catalog.array_agg(w.trigger_name ORDER BY w.trigger_name)
    FROM ROWS FROM (pg_catalog.unnest(subjects), pg_catalog.unnest(relations)) AS k (subject, relation)
    JOIN pg_catalog.pg_class AS c ON c.oid = k.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN freshet.planned_triggers(cache, columns, level) AS w ON w.subject = k.subject
    GROUP BY 1, 2, 3, 4, 5, 6;

    PERFORM freshet.journal(cache, 'namespace', 'attach');
    RETURN true;
END
$function$;
COMMENT ON FUNCTION freshet.attach_cache(text, regclass[], jsonb, text, integer) IS
    'Puts the triggers of a cache on its tables, or mends them. True if anything was changed.';

-- Takes the triggers of some caches off, wherever there are any (a copy that a migration left behind has them too), and
-- drops their functions. All tables are locked at once, so that no writer waits for one while we try for another.
-- Returns false if there was nothing to do.
CREATE FUNCTION freshet.detach_caches(caches text[], lock_tries integer DEFAULT 1000) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    functions name[];
    names text[];
    commands text[];
    item record;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    SELECT pg_catalog.array_agg(f.function_name)
    INTO functions
    FROM freshet.cache_table AS t, pg_catalog.unnest(freshet.function_names(t.subject)) AS f (function_name)
    WHERE t.cache = ANY (caches);
    SELECT
        pg_catalog.array_agg(DISTINCT pg_catalog.format('%I.%I', tn.nspname, c.relname)),
        pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER IF EXISTS %I ON %I.%I', t.tgname, tn.nspname, c.relname))
    INTO names, commands
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'freshet'
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND p.proname = ANY (functions);
    IF names IS NULL AND NOT EXISTS (SELECT FROM freshet.attachment AS a WHERE a.cache = ANY (caches)) THEN
        RETURN false;
    END IF;

    IF names IS NOT NULL THEN
        PERFORM freshet.lock_tables(names, 'ACCESS EXCLUSIVE', lock_tries);
        FOR item IN SELECT s.command FROM pg_catalog.unnest(commands) AS s (command) LOOP
            EXECUTE item.command;
        END LOOP;
    END IF;
    FOR item IN
        SELECT p.proname
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = 'freshet' AND p.proname = ANY (functions)
            AND p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION freshet.%I()', item.proname);
    END LOOP;

    -- What attach granted, where we may take it back (the role is Freshet's own) and no other cache needs it.
    FOR item IN
        SELECT
            a.schema_name, a.table_name, n.nspowner, c.oid AS relation,
            pg_catalog.bool_or(o.table_name = a.table_name) AS table_is_needed, pg_catalog.count(o) > 0 AS schema_is_needed
        FROM freshet.attachment AS a
        JOIN freshet.cache_table AS t ON t.subject = a.subject AND t.is_read
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
        LEFT JOIN pg_catalog.pg_class AS c
            ON c.relnamespace = n.oid AND c.relname = a.table_name AND c.relkind IN ('r', 'p')
        LEFT JOIN (
            freshet.attachment AS o JOIN freshet.cache_table AS ot ON ot.subject = o.subject AND ot.is_read
        ) ON o.schema_name = a.schema_name AND o.cache <> ALL (caches)
        WHERE a.cache = ANY (caches)
        GROUP BY a.schema_name, a.table_name, n.nspowner, c.oid
    LOOP
        IF item.relation IS NOT NULL AND item.table_is_needed IS NOT TRUE THEN
            EXECUTE pg_catalog.format('REVOKE SELECT ON %I.%I FROM freshet_worker', item.schema_name, item.table_name);
        END IF;
        IF NOT item.schema_is_needed AND pg_catalog.pg_has_role(CURRENT_USER, item.nspowner, 'USAGE') THEN
            EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA %I FROM freshet_worker', item.schema_name);
        END IF;
    END LOOP;

    DELETE FROM freshet.attachment AS a WHERE a.cache = ANY (caches);
    PERFORM freshet.journal(c.name, 'namespace', 'detach') FROM pg_catalog.unnest(caches) AS c (name);
    RETURN true;
END
$function$;
COMMENT ON FUNCTION freshet.detach_caches(text[], integer) IS
    'Takes the triggers of some caches off. True if there were any.';

-- Refuses other tables than those that are attached, for scripts that want to be sure which they mean.
CREATE FUNCTION freshet.require_attached(cache text, relations regclass[]) RETURNS void
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
DECLARE
    others text;
    detach_name text;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', a.schema_name, a.table_name, a.subject), ', '),
        pg_catalog.min(pg_catalog.replace(k.attach_name, '.attach', '.detach'))
    INTO others, detach_name
    FROM freshet.attachment AS a
    JOIN freshet.cache AS k ON k.name = a.cache
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
    WHERE a.cache = require_attached.cache
        AND c.oid IS DISTINCT FROM relations[(
            SELECT pg_catalog.count(*)
            FROM freshet.cache_table AS t, freshet.cache_table AS own
            WHERE own.subject = a.subject AND t.cache = own.cache AND t.place <= own.place
        )];
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = pg_catalog.format('Name those, or run SELECT %s() for whatever is attached.', detach_name);
    END IF;
END
$function$;
COMMENT ON FUNCTION freshet.require_attached(text, regclass[]) IS 'Refuses tables that are not the attached ones. Internal.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
