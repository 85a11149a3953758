CREATE SCHEMA freshet;

ALTER SCHEMA freshet OWNER TO freshet_owner;

COMMENT ON SCHEMA freshet IS 'Freshet: a journal of committed changes to three tables, read by the worker that invalidates a cache in Redis.';

CREATE FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name DEFAULT 'id'::name, workflow_id name DEFAULT 'id'::name, workflow_environment name DEFAULT 'environment_id'::name, link_detector name DEFAULT 'detector_id'::name, link_workflow name DEFAULT 'workflow_id'::name, level text DEFAULT 'statement'::text, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT freshet.attach_cache(
        'workflows',
        ARRAY[detector, workflow, link],
        pg_catalog.jsonb_build_object(
            'detector', pg_catalog.jsonb_build_object('id', detector_id),
            'workflow', pg_catalog.jsonb_build_object('id', workflow_id, 'environment', workflow_environment),
            'link', pg_catalog.jsonb_build_object('detector', link_detector, 'workflow', link_workflow)
        ),
        level, lock_tries
    )
$$;

ALTER FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) IS 'Puts the triggers on the three tables, or mends them. True if anything was changed.';

CREATE FUNCTION freshet.attach_cache(cache text, relations regclass[], columns jsonb, level text DEFAULT 'statement'::text, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.attach_cache(cache text, relations regclass[], columns jsonb, level text, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.attach_cache(cache text, relations regclass[], columns jsonb, level text, lock_tries integer) IS 'Puts the triggers of a cache on its tables, or mends them. True if anything was changed.';

CREATE FUNCTION freshet.attach_datasources(datasource regclass, link regclass, detector regclass, datasource_id name DEFAULT 'id'::name, datasource_type name DEFAULT 'type'::name, datasource_source name DEFAULT 'source_id'::name, link_datasource name DEFAULT 'data_source_id'::name, link_detector name DEFAULT 'detector_id'::name, detector_id name DEFAULT 'id'::name, level text DEFAULT 'statement'::text, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT freshet.attach_cache(
        'datasources',
        ARRAY[datasource, link, detector],
        pg_catalog.jsonb_build_object(
            'datasource', pg_catalog.jsonb_build_object(
                'id', datasource_id, 'type', datasource_type, 'source', datasource_source
            ),
            'datasource_link', pg_catalog.jsonb_build_object('datasource', link_datasource, 'detector', link_detector),
            'datasource_detector', pg_catalog.jsonb_build_object('id', detector_id)
        ),
        level, lock_tries
    )
$$;

ALTER FUNCTION freshet.attach_datasources(datasource regclass, link regclass, detector regclass, datasource_id name, datasource_type name, datasource_source name, link_datasource name, link_detector name, detector_id name, level text, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.attach_datasources(datasource regclass, link regclass, detector regclass, datasource_id name, datasource_type name, datasource_source name, link_datasource name, link_detector name, detector_id name, level text, lock_tries integer) IS 'Puts the triggers of the cache "datasources" on its tables, or mends them. True if anything was changed.';

CREATE FUNCTION freshet.attach_ddl_trigger() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    IF (
        SELECT pg_catalog.count(*) = 2
        FROM pg_catalog.pg_event_trigger AS e
        WHERE e.evtname IN ('freshet_ddl', 'freshet_drop') AND e.evtenabled = 'A'
    ) THEN
        RETURN false;
    END IF;
    PERFORM freshet.detach_ddl_trigger();
    CREATE EVENT TRIGGER freshet_ddl ON ddl_command_end
        WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE TRIGGER', 'ALTER TRIGGER')
        EXECUTE FUNCTION freshet.ddl_changed();
    CREATE EVENT TRIGGER freshet_drop ON sql_drop EXECUTE FUNCTION freshet.ddl_changed();
    ALTER EVENT TRIGGER freshet_ddl ENABLE ALWAYS;
    ALTER EVENT TRIGGER freshet_drop ENABLE ALWAYS;
    RETURN true;
END
$$;

ALTER FUNCTION freshet.attach_ddl_trigger() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.attach_ddl_trigger() IS 'Installs the event triggers that journal DDL. Needs a superuser.';

CREATE FUNCTION freshet.check_table(subject text, relation regclass, columns jsonb) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.check_table(subject text, relation regclass, columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.check_table(subject text, relation regclass, columns jsonb) IS 'Refuses a table that cannot be attached. Internal.';

CREATE FUNCTION freshet.check_tables(subjects text[], relations regclass[], columns jsonb) RETURNS text[]
    LANGUAGE sql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT pg_catalog.array_agg(freshet.check_table(r.subject, r.relation, columns -> r.subject) ORDER BY r.place)
    FROM ROWS FROM (pg_catalog.unnest(subjects), pg_catalog.unnest(relations))
        WITH ORDINALITY AS r (subject, relation, place)
$$;

ALTER FUNCTION freshet.check_tables(subjects text[], relations regclass[], columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.check_tables(subjects text[], relations regclass[], columns jsonb) IS 'Refuses tables that cannot be attached, and returns their names. Internal.';

CREATE FUNCTION freshet.concerned_by_ddl(event text) RETURNS TABLE(cache text, subject text)
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    IF concerned_by_ddl.event = 'sql_drop' THEN
        RETURN QUERY
        SELECT a.cache, pg_catalog.min(a.subject)
        FROM pg_catalog.pg_event_trigger_dropped_objects() AS d
        JOIN freshet.attachment AS a
            ON a.schema_name = d.address_names[1] AND a.table_name = d.address_names[2]
        WHERE d.object_type IN ('table', 'table column', 'trigger', 'policy')
        GROUP BY a.cache;
    ELSE
        -- A table by the attached name, or one that bears our triggers (it may just have been renamed).
        RETURN QUERY
        SELECT s.cache, pg_catalog.min(s.subject)
        FROM pg_catalog.pg_event_trigger_ddl_commands() AS d
        LEFT JOIN pg_catalog.pg_trigger AS changed
            ON changed.oid = d.objid AND d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
        JOIN pg_catalog.pg_class AS c
            ON c.oid = changed.tgrelid OR c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        JOIN freshet.cache_table AS s
            ON EXISTS (
                SELECT FROM freshet.attachment AS a
                WHERE a.subject = s.subject AND a.schema_name = n.nspname AND a.table_name = c.relname
            )
            OR EXISTS (
                SELECT
                FROM pg_catalog.pg_trigger AS t
                JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace AND pn.nspname = 'freshet'
                WHERE t.tgrelid = c.oid AND p.proname = ANY (freshet.function_names(s.subject))
            )
        GROUP BY s.cache;
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE LOG 'freshet: a DDL command could not be looked at: % (%)', SQLERRM, SQLSTATE;
    RETURN QUERY SELECT NULL::text, 'namespace'::text;
END
$$;

ALTER FUNCTION freshet.concerned_by_ddl(event text) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.concerned_by_ddl(event text) IS 'The caches that a DDL command concerns. Internal.';

CREATE FUNCTION freshet.ddl_changed() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    concerned record;
BEGIN
    FOR concerned IN SELECT f.cache, f.subject FROM freshet.concerned_by_ddl(TG_EVENT) AS f LOOP
        PERFORM freshet.journal(concerned.cache, concerned.subject, 'ddl');
    END LOOP;
END
$$;

ALTER FUNCTION freshet.ddl_changed() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.ddl_changed() IS 'Event trigger function: journals DDL on the attached tables.';

CREATE FUNCTION freshet.detach(lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT freshet.detach_caches(ARRAY['workflows'], lock_tries)
$$;

ALTER FUNCTION freshet.detach(lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach(lock_tries integer) IS 'Takes the triggers off the attached tables. True if there were any.';

CREATE FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    PERFORM freshet.require_attached('workflows', ARRAY[detector, workflow, link]);
    RETURN freshet.detach(lock_tries);
END
$$;

ALTER FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) IS 'Takes the triggers off these tables, or fails if others are attached.';

CREATE FUNCTION freshet.detach_caches(caches text[], lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.detach_caches(caches text[], lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach_caches(caches text[], lock_tries integer) IS 'Takes the triggers of some caches off. True if there were any.';

CREATE FUNCTION freshet.detach_datasources(lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT freshet.detach_caches(ARRAY['datasources'], lock_tries)
$$;

ALTER FUNCTION freshet.detach_datasources(lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach_datasources(lock_tries integer) IS 'Takes the triggers of the cache "datasources" off. True if there were any.';

CREATE FUNCTION freshet.detach_ddl_trigger() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    item record;
    dropped boolean := false;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    FOR item IN
        SELECT e.evtname FROM pg_catalog.pg_event_trigger AS e WHERE e.evtname IN ('freshet_ddl', 'freshet_drop')
    LOOP
        EXECUTE pg_catalog.format('DROP EVENT TRIGGER %I', item.evtname);
        dropped := true;
    END LOOP;
    RETURN dropped;
END
$$;

ALTER FUNCTION freshet.detach_ddl_trigger() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach_ddl_trigger() IS 'Removes the event triggers that journal DDL.';

CREATE FUNCTION freshet.function_names(subject text) RETURNS name[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT pg_catalog.array_agg(pg_catalog.format('%s_%s', function_names.subject, e.event)::pg_catalog.name)
    FROM (VALUES ('insert'), ('update'), ('delete'), ('row'), ('truncate')) AS e (event)
$$;

ALTER FUNCTION freshet.function_names(subject text) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.function_names(subject text) IS 'The trigger functions of a table, by its subject. Internal.';

CREATE FUNCTION freshet.identity() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    timeline_hex text;
BEGIN
    IF pg_catalog.pg_is_in_recovery() THEN
        RETURN 'replica';
    END IF;
    timeline_hex := pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8);
    RETURN pg_catalog.format(
        '%s/%s/%s',
        (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c),
        ('x' || timeline_hex)::bit(32)::bigint,
        COALESCE((SELECT i.token FROM freshet.incarnation AS i), '-')
    );
END
$$;

ALTER FUNCTION freshet.identity() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.identity() IS 'system identifier/timeline/incarnation token, or ''replica'' on a server in recovery.';

CREATE FUNCTION freshet.invalidate_all() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    RETURN freshet.journal(NULL, 'namespace', 'invalidate');
END
$$;

ALTER FUNCTION freshet.invalidate_all() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_all() IS 'Invalidates everything in every cache, when the transaction commits.';

CREATE FUNCTION freshet.invalidate_datasource(type text, source_id text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    change_id bigint;
BEGIN
    IF type IS NULL OR source_id IS NULL THEN
        RAISE EXCEPTION 'the type or the source_id to invalidate is NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Name both, or call freshet.invalidate_all() to invalidate everything.';
    END IF;
    INSERT INTO freshet.change AS c (cache, subject, operation, row_count, new_types, new_source_ids)
    VALUES ('datasources', 'datasource', 'invalidate', 1, ARRAY[type], ARRAY[source_id])
    RETURNING c.id INTO change_id;
    PERFORM freshet.wake();
    RETURN change_id;
END
$$;

ALTER FUNCTION freshet.invalidate_datasource(type text, source_id text) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_datasource(type text, source_id text) IS 'Invalidates the detectors of the data sources of a type and a source_id, when the transaction commits.';

CREATE FUNCTION freshet.invalidate_detector(detector_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    change_id bigint;
BEGIN
    IF detector_id IS NULL THEN
        RAISE EXCEPTION 'the detector to invalidate is NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Name a detector, or call freshet.invalidate_all() to invalidate everything.';
    END IF;
    INSERT INTO freshet.change AS c (cache, subject, operation, row_count, detector_ids)
    VALUES ('workflows', 'detector', 'invalidate', 1, ARRAY[detector_id])
    RETURNING c.id INTO change_id;
    PERFORM freshet.wake();
    RETURN change_id;
END
$$;

ALTER FUNCTION freshet.invalidate_detector(detector_id bigint) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_detector(detector_id bigint) IS 'Invalidates a detector in every environment, when the transaction commits.';

CREATE FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    change_id bigint;
BEGIN
    IF detector_id IS NULL THEN
        RAISE EXCEPTION 'the detector to invalidate is NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Name a detector, or call freshet.invalidate_all() to invalidate everything.';
    END IF;
    INSERT INTO freshet.change AS c (cache, subject, operation, row_count, detector_ids, new_environment_ids)
    VALUES ('workflows', 'entry', 'invalidate', 1, ARRAY[detector_id], ARRAY[environment_id])
    RETURNING c.id INTO change_id;
    PERFORM freshet.wake();
    RETURN change_id;
END
$$;

ALTER FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) IS 'Invalidates a detector in one environment (NULL: the global one), when the transaction commits.';

CREATE FUNCTION freshet.journal(cache text, subject text, operation text, row_count bigint DEFAULT 0) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    change_id bigint;
BEGIN
    INSERT INTO freshet.change AS c (cache, subject, operation, row_count)
    VALUES (journal.cache, journal.subject, journal.operation, journal.row_count)
    RETURNING c.id INTO change_id;
    PERFORM freshet.wake();
    RETURN change_id;
END
$$;

ALTER FUNCTION freshet.journal(cache text, subject text, operation text, row_count bigint) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.journal(cache text, subject text, operation text, row_count bigint) IS 'Writes one journal row that names no keys, and wakes the worker. Internal.';

CREATE FUNCTION freshet.let_worker_read(relation regclass, columns jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.let_worker_read(relation regclass, columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.let_worker_read(relation regclass, columns jsonb) IS 'Grants freshet_worker these columns. Internal.';

CREATE FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) IS 'Locks tables at once without queueing. Internal.';

CREATE FUNCTION freshet.notify_enabled() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    RETURN (SELECT s.notify FROM freshet.setting_in_force AS s);
END
$$;

ALTER FUNCTION freshet.notify_enabled() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.notify_enabled() IS 'Whether a change sends NOTIFY freshet_change.';

CREATE FUNCTION freshet.planned_triggers(cache text, columns jsonb, level text) RETURNS TABLE(subject text, trigger_name text, source text, declaration text)
    LANGUAGE sql STABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.planned_triggers(cache text, columns jsonb, level text) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.planned_triggers(cache text, columns jsonb, level text) IS 'What attaching a cache installs. Internal.';

CREATE FUNCTION freshet.require_attached(cache text, relations regclass[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
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
$$;

ALTER FUNCTION freshet.require_attached(cache text, relations regclass[]) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.require_attached(cache text, relations regclass[]) IS 'Refuses tables that are not the attached ones. Internal.';

CREATE FUNCTION freshet.token() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT pg_catalog.concat_ws(
        ' ',
        freshet.identity(),
        COALESCE(
            pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text,
            pg_catalog.pg_current_snapshot()::pg_catalog.text
        )
    )
$$;

ALTER FUNCTION freshet.token() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.token() IS 'What a reader must not answer from before: this transaction where it has written, else all that is committed by now.';

CREATE FUNCTION freshet.trigger_source(subject text, event text, columns jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $_$
DECLARE
    -- Only where all columns of the cache are integers, as said above.
    has_hints constant boolean := NOT EXISTS (
        SELECT
        FROM freshet.cache_table AS own
        JOIN freshet.cache_table AS t ON t.cache = own.cache
        JOIN freshet.cache_column AS c ON c.subject = t.subject
        WHERE own.subject = trigger_source.subject AND c.kind <> 'integer'
    );

    -- Names that the application may have used for columns are harmless: columns are always qualified, variables
    -- labelled.
    statement_frame constant text := $frame$
<<journaling>>
DECLARE
    row_limit bigint;
    notifying boolean;
    hinting boolean;
    hint uuid;
    is_readable boolean;
    changed_rows bigint;
{{key||    key_<role> <type>[];
}}{{value||    old_<role> <type>[];
    new_<role> <type>[];
}}@declare@BEGIN
    SELECT s.escalation_rows, s.notify AND pg_catalog.pg_notification_queue_usage() <= 0.5,
        s.hints AND pg_catalog.length(COALESCE(pg_catalog.current_setting('freshet.hinted', true), '')) < 32
    INTO row_limit, notifying, hinting
    FROM freshet.setting_in_force AS s;
    BEGIN
        -- First of all: the cast from a type of the application's may be a function of anybody's, which must not run here.
        -- All rows have the types of the first.
        SELECT {{both| AND |pg_catalog.pg_typeof(r.<column>) = ANY ('<types>'::pg_catalog.regtype[])}}
        INTO is_readable
        FROM @side@_rows AS r
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        IF NOT is_readable THEN
            RAISE EXCEPTION 'a column was retyped';
        END IF;
@read@
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: rows of %.% could not be read: % (%)', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM, SQLSTATE;
        PERFORM freshet.journal('@cache@', '@subject@', 'drift');
        RETURN NULL;
    END;
    IF changed_rows = 0 THEN
        RETURN NULL;
    END IF;
    IF changed_rows > row_limit THEN
        SELECT pg_catalog.count(*) INTO changed_rows FROM @side@_rows;
        PERFORM freshet.journal('@cache@', '@subject@', 'escalation', changed_rows);
        RETURN NULL;
    END IF;
@write@
    RETURN NULL;
END
$frame$;
    row_frame constant text := $frame$
DECLARE
    notifying boolean;
    hinting boolean;
    hint uuid;
{{both||    old_<role> <type>;
    new_<role> <type>;
}}{{key||    key_<role> <type>[];
}}BEGIN
    BEGIN
        IF TG_OP = 'UPDATE' AND NOT (OLD OPERATOR(pg_catalog.*<>) NEW) THEN
            RETURN NULL;
        END IF;
        -- The types first, as above.
        IF TG_OP <> 'INSERT' THEN
            IF NOT ({{both| AND |pg_catalog.pg_typeof(OLD.<column>) = ANY ('<types>'::pg_catalog.regtype[])}}) THEN
                RAISE EXCEPTION 'a column was retyped';
            END IF;
{{both|
|            old_<role> := OLD.<column>::<type>;}}
        END IF;
        IF TG_OP <> 'DELETE' THEN
            IF NOT ({{both| AND |pg_catalog.pg_typeof(NEW.<column>) = ANY ('<types>'::pg_catalog.regtype[])}}) THEN
                RAISE EXCEPTION 'a column was retyped';
            END IF;
{{both|
|            new_<role> := NEW.<column>::<type>;}}
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: a row of %.% could not be read: % (%)', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM, SQLSTATE;
        PERFORM freshet.journal('@cache@', '@subject@', 'drift');
        RETURN NULL;
    END;
    SELECT s.notify AND pg_catalog.pg_notification_queue_usage() <= 0.5,
        s.hints AND pg_catalog.length(COALESCE(pg_catalog.current_setting('freshet.hinted', true), '')) < 32
    INTO notifying, hinting
    FROM freshet.setting_in_force AS s;
@write@
    RETURN NULL;
END
$frame$;
    truncate_frame constant text := $frame$
BEGIN
    PERFORM freshet.journal('@cache@', '@subject@', 'truncate');
    RETURN NULL;
END
$frame$;

    -- A row without a key is in nobody's cache, so NULL keys are left out throughout.

    -- INSERT and DELETE see one side.
    read_side constant text := $read$
        SELECT pg_catalog.count(*){{both||, pg_catalog.array_agg(c.<role>)}}
        INTO changed_rows{{key||, key_<role>}}{{value||, @side@_<role>}}
        FROM (
            SELECT {{both|, |r.<column>::<type> AS <role>}}
            FROM @side@_rows AS r
            WHERE {{key| AND |r.<column> IS NOT NULL}}
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
    write_side constant text := freshet.write_row(
        NULL, '''@event@''', 'changed_rows',
        ARRAY[['key', '<journal>', 'key_<role>'], ['value', '@side@_<journal>', '@side@_<role>']], has_hints
    );

    -- UPDATE joins the rows before and after, which takes longest of all that is done here. So it is avoided
    --   where there is one row that kept its keys, as there most often is: it is a pair.
    --   where a large statement changed the first fifty rows that it touched and those at the limit: then it is taken to have
    --   changed all in between. Where what had been changed before is left alone, the rest of the table comes first. Both
    --   sides have the order of the update; where they had not, this would find too few pairs, and all would be read.
    declare_update constant text := $declare$    touched_rows bigint;
    is_read boolean;
$declare$;
    read_update constant text := $read$
        SELECT pg_catalog.count(*) INTO touched_rows FROM (SELECT FROM new_rows LIMIT journaling.row_limit + 1) AS t;
        IF touched_rows = 1 THEN
            SELECT 1{{key||, ARRAY[n.<column>::<type>]}}{{value||, ARRAY[o.<column>::<type>], ARRAY[n.<column>::<type>]}}
            INTO changed_rows{{key||, key_<role>}}{{value||, old_<role>, new_<role>}}
            FROM old_rows AS o CROSS JOIN new_rows AS n
            WHERE {{key| AND |o.<column> = n.<column>}} AND (o.*) OPERATOR(pg_catalog.*<>) (n.*);
            is_read := FOUND;
        ELSIF touched_rows > row_limit THEN
            changed_rows := touched_rows;
            SELECT pg_catalog.bool_and(COALESCE((o.*) OPERATOR(pg_catalog.*<>) (n.*), false))
            INTO is_read
            FROM (
                (SELECT * FROM old_rows LIMIT 50)
                UNION ALL
                (SELECT * FROM old_rows OFFSET GREATEST(journaling.row_limit - 49, 0) LIMIT 50)
            ) AS o
            FULL JOIN (
                (SELECT * FROM new_rows LIMIT 50)
                UNION ALL
                (SELECT * FROM new_rows OFFSET GREATEST(journaling.row_limit - 49, 0) LIMIT 50)
            ) AS n ON {{key| AND |o.<column> = n.<column>}};
        END IF;
        IF is_read IS NOT TRUE THEN@read@
        END IF;$read$;

    -- UPDATE of a table without values: a row whose keys were changed counts with the old and with the new ones.
    read_keys constant text := $read$
        SELECT pg_catalog.count(*){{key||, pg_catalog.array_agg(c.<role>)}}
        INTO changed_rows{{key||, key_<role>}}
        FROM (
            SELECT {{key|, |COALESCE(o.<column>, n.<column>)::<type> AS <role>}}
            FROM old_rows AS o FULL JOIN new_rows AS n ON {{key| AND |o.<column> = n.<column>}}
            WHERE {{key| AND |COALESCE(o.<column>, n.<column>) IS NOT NULL}}
                AND ({{first||o.<column> IS NULL OR n.<column> IS NULL}} OR (o.*) OPERATOR(pg_catalog.*<>) (n.*))
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
    write_keys constant text := freshet.write_row(
        NULL, '''update''', 'changed_rows', ARRAY[['key', '<journal>', 'key_<role>']], has_hints
    );

    -- UPDATE of a table with values. One of the keys is the deletion of one row and the insertion of another.
    declare_values constant text := $declare${{both||    deleted_<role> <type>[];
    inserted_<role> <type>[];
}}$declare$;
    read_values constant text := $read$
        SELECT
            pg_catalog.count(*){{key||,
            pg_catalog.array_agg(c.new_<role>) FILTER (WHERE c.is_old AND c.is_new)}}{{value||,
            pg_catalog.array_agg(c.old_<role>) FILTER (WHERE c.is_old AND c.is_new),
            pg_catalog.array_agg(c.new_<role>) FILTER (WHERE c.is_old AND c.is_new)}}{{both||,
            pg_catalog.array_agg(c.old_<role>) FILTER (WHERE NOT c.is_new),
            pg_catalog.array_agg(c.new_<role>) FILTER (WHERE NOT c.is_old)}}
        INTO
            changed_rows{{key||, key_<role>}}{{value||, old_<role>, new_<role>}}{{both||,
            deleted_<role>, inserted_<role>}}
        FROM (
            SELECT
                {{first||o.<column> IS NOT NULL AS is_old, n.<column> IS NOT NULL AS is_new}}{{both||,
                o.<column>::<type> AS old_<role>, n.<column>::<type> AS new_<role>}}
            FROM old_rows AS o FULL JOIN new_rows AS n ON {{key| AND |o.<column> = n.<column>}}
            WHERE {{key| AND |COALESCE(o.<column>, n.<column>) IS NOT NULL}}
                AND ({{first||o.<column> IS NULL OR n.<column> IS NULL}} OR (o.*) OPERATOR(pg_catalog.*<>) (n.*))
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
    write_values constant text := freshet.write_row(
        '{{first||key_<role>}} IS NOT NULL', '''update''', 'pg_catalog.cardinality({{first||key_<role>}})',
        ARRAY[
            ['key', '<journal>', 'key_<role>'],
            ['value', 'old_<journal>', 'old_<role>'], ['value', 'new_<journal>', 'new_<role>']
        ],
        has_hints
    ) || freshet.write_row(
        '{{first||deleted_<role>}} IS NOT NULL', '''delete''', 'pg_catalog.cardinality({{first||deleted_<role>}})',
        ARRAY[['key', '<journal>', 'deleted_<role>'], ['value', 'old_<journal>', 'deleted_<role>']], has_hints
    ) || freshet.write_row(
        '{{first||inserted_<role>}} IS NOT NULL', '''insert''', 'pg_catalog.cardinality({{first||inserted_<role>}})',
        ARRAY[['key', '<journal>', 'inserted_<role>'], ['value', 'new_<journal>', 'inserted_<role>']], has_hints
    );

    -- The same for single rows.
    write_row_keys constant text := $write$
    SELECT {{key|, |pg_catalog.array_agg(p.<role>)}}
    INTO {{key|, |key_<role>}}
    FROM (SELECT {{key|, |old_<role>}} UNION SELECT {{key|, |new_<role>}}) AS p ({{key|, |<role>}})
    WHERE {{key| AND |p.<role> IS NOT NULL}};
    IF {{first||key_<role>}} IS NULL THEN
        RETURN NULL;
    END IF;$write$ || freshet.write_row(
        NULL, 'pg_catalog.lower(TG_OP)', '1', ARRAY[['key', '<journal>', 'key_<role>']], has_hints
    );
    write_row_values constant text := freshet.write_row(
        '{{key| AND |old_<role> = new_<role>}}', '''update''', '1',
        ARRAY[
            ['key', '<journal>', 'ARRAY[new_<role>]'],
            ['value', 'old_<journal>', 'ARRAY[old_<role>]'], ['value', 'new_<journal>', 'ARRAY[new_<role>]']
        ],
        has_hints
    ) || freshet.write_row(
        '({{key| AND |old_<role> = new_<role>}}) IS NOT TRUE AND {{key| AND |old_<role> IS NOT NULL}}', '''delete''', '1',
        ARRAY[['key', '<journal>', 'ARRAY[old_<role>]'], ['value', 'old_<journal>', 'ARRAY[old_<role>]']], has_hints
    ) || freshet.write_row(
        '({{key| AND |old_<role> = new_<role>}}) IS NOT TRUE AND {{key| AND |new_<role> IS NOT NULL}}', '''insert''', '1',
        ARRAY[['key', '<journal>', 'ARRAY[new_<role>]'], ['value', 'new_<journal>', 'ARRAY[new_<role>]']], has_hints
    );

    cache_name text;
    has_values boolean;
    frame text := statement_frame;
    declarations text := '';
    reading text := '';
    writing text;
BEGIN
    SELECT t.cache, EXISTS (
        SELECT FROM freshet.cache_column AS v WHERE v.subject = t.subject AND v.part = 'value'
    )
    INTO STRICT cache_name, has_values
    FROM freshet.cache_table AS t
    WHERE t.subject = trigger_source.subject;

    CASE
        WHEN event = 'truncate' THEN
            frame := truncate_frame;
        WHEN event = 'row' THEN
            frame := row_frame;
            writing := CASE WHEN has_values THEN write_row_values ELSE write_row_keys END;
        WHEN event IN ('insert', 'delete') THEN
            reading := read_side;
            writing := write_side;
        WHEN event = 'update' AND has_values THEN
            declarations := declare_update || declare_values;
            reading := pg_catalog.replace(read_update, '@read@', pg_catalog.replace(read_values, E'\n', E'\n    '));
            writing := write_values;
        WHEN event = 'update' THEN
            declarations := declare_update;
            reading := pg_catalog.replace(read_update, '@read@', pg_catalog.replace(read_keys, E'\n', E'\n    '));
            writing := write_keys;
    END CASE;
    frame := pg_catalog.replace(frame, '@declare@', declarations);
    frame := pg_catalog.replace(frame, '@read@', pg_catalog.ltrim(reading, E'\n'));
    frame := pg_catalog.replace(frame, '@write@', pg_catalog.ltrim(COALESCE(writing, ''), E'\n'));
    frame := pg_catalog.replace(frame, '@side@', CASE event WHEN 'delete' THEN 'old' ELSE 'new' END);
    frame := pg_catalog.replace(frame, '@event@', event);
    frame := pg_catalog.replace(frame, '@cache@', cache_name);
    frame := pg_catalog.replace(frame, '@subject@', subject);
    RETURN freshet.write_out(frame, subject, columns);
END
$_$;

ALTER FUNCTION freshet.trigger_source(subject text, event text, columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.trigger_source(subject text, event text, columns jsonb) IS 'The body of a generated trigger function. Pure text.';

CREATE FUNCTION freshet.wake() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    IF freshet.notify_enabled() AND pg_catalog.pg_notification_queue_usage() <= 0.5 THEN
        PERFORM pg_catalog.pg_notify('freshet_change', '');
    END IF;
END
$$;

ALTER FUNCTION freshet.wake() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.wake() IS 'Wakes the worker when the transaction commits. Internal.';

CREATE FUNCTION freshet.worker_may_read(relation regclass, columns jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT pg_catalog.has_schema_privilege('freshet_worker', c.relnamespace, 'USAGE')
        AND (
            SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege('freshet_worker', c.oid, a.attnum, 'SELECT'))
            FROM pg_catalog.pg_attribute AS a
            JOIN pg_catalog.jsonb_each_text(columns) AS w ON w.value::name = a.attname
            WHERE a.attrelid = c.oid
        )
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$$;

ALTER FUNCTION freshet.worker_may_read(relation regclass, columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.worker_may_read(relation regclass, columns jsonb) IS 'Whether freshet_worker may read them. Internal.';

CREATE FUNCTION freshet.write_out(template text, subject text, columns jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $_$
    SELECT pg_catalog.string_agg(
        CASE p.place WHEN 1 THEN p.piece ELSE COALESCE(e.text, '') || pg_catalog.substr(p.piece, q.closing + 2) END,
        '' ORDER BY p.place
    )
    FROM pg_catalog.unnest(pg_catalog.string_to_array(write_out.template, '{{')) WITH ORDINALITY AS p (piece, place)
    CROSS JOIN LATERAL (SELECT pg_catalog.strpos(p.piece, '}}') AS closing) AS q
    CROSS JOIN LATERAL (
        SELECT pg_catalog.regexp_match(pg_catalog.substr(p.piece, 1, q.closing - 1), '^(\w+)\|([^|]*)\|(.*)$') AS part
        WHERE p.place > 1
        UNION ALL
        SELECT NULL WHERE p.place = 1
    ) AS m
    CROSS JOIN LATERAL (
        SELECT pg_catalog.string_agg(
            -- The name last, because it may look like any of the others.
            pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(m.part[3],
                '<role>', c.role),
                -- bigint, smallint, integer; text, varchar.
                '<types>', CASE c.kind WHEN 'integer' THEN '{20,21,23}' ELSE '{25,1043}' END),
                '<type>', CASE c.kind WHEN 'integer' THEN 'bigint' ELSE 'text' END),
                '<journal>', c.journaled_as),
                '<column>', pg_catalog.quote_ident(write_out.columns ->> c.role)),
            m.part[2] ORDER BY c.part, c.place
        ) AS text
        FROM (
            SELECT k.*, pg_catalog.row_number() OVER (PARTITION BY k.part ORDER BY k.place) = 1 AS is_first
            FROM freshet.cache_column AS k
            WHERE k.subject = write_out.subject
        ) AS c
        WHERE m.part[1] IN (c.part, 'both') OR m.part[1] = 'first' AND c.part = 'key' AND c.is_first
    ) AS e
$_$;

ALTER FUNCTION freshet.write_out(template text, subject text, columns jsonb) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.write_out(template text, subject text, columns jsonb) IS 'Writes a template out for the columns of a table. Internal.';

CREATE FUNCTION freshet.write_row(condition text, operation text, row_count text, facts text[], has_hint boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $_$
DECLARE
    with_hint constant text := $write$
    hint := CASE WHEN notifying AND hinting AND @row_count@ <= 32 THEN pg_catalog.gen_random_uuid() END;
    INSERT INTO freshet.change (cache, subject, operation, row_count, hint@names@)
    VALUES ('@cache@', '@subject@', @operation@, @row_count@, hint@values@);
    IF notifying THEN
        PERFORM pg_catalog.pg_notify('freshet_change', CASE WHEN hint IS NULL THEN '' ELSE pg_catalog.concat_ws(
            ' ', hint, '@cache@', '@subject@', @operation@@texts@
        ) END);
    END IF;
    IF hint IS NOT NULL THEN
        PERFORM pg_catalog.set_config(
            'freshet.hinted', pg_catalog.concat(pg_catalog.current_setting('freshet.hinted', true), '.'), true
        );
    END IF;$write$;
    without_hint constant text := $write$
    INSERT INTO freshet.change (cache, subject, operation, row_count@names@)
    VALUES ('@cache@', '@subject@', @operation@, @row_count@@values@);
    IF notifying THEN
        PERFORM pg_catalog.pg_notify('freshet_change', '');
    END IF;$write$;

    template text := CASE WHEN has_hint THEN with_hint ELSE without_hint END;
    fact text[];
    names text := '';
    cells text := '';
    texts text := '';
BEGIN
    FOREACH fact SLICE 1 IN ARRAY facts LOOP
        names := names || pg_catalog.format('{{%s||, %s}}', fact[1], fact[2]);
        cells := cells || pg_catalog.format('{{%s||, %s}}', fact[1], fact[3]);
        texts := texts || pg_catalog.format(E'{{%s||,\n            ''%s='' || %s::text}}', fact[1], fact[2], fact[3]);
    END LOOP;
    template := pg_catalog.replace(template, '@names@', names);
    template := pg_catalog.replace(template, '@values@', cells);
    template := pg_catalog.replace(template, '@texts@', texts);
    template := pg_catalog.replace(template, '@operation@', operation);
    template := pg_catalog.replace(template, '@row_count@', row_count);
    IF condition IS NULL THEN
        RETURN template;
    END IF;
    RETURN pg_catalog.format(
        E'\n    IF %s THEN%s\n    END IF;', condition, pg_catalog.replace(template, E'\n', E'\n    ')
    );
END
$_$;

ALTER FUNCTION freshet.write_row(condition text, operation text, row_count text, facts text[], has_hint boolean) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.write_row(condition text, operation text, row_count text, facts text[], has_hint boolean) IS 'The statements that write one row of the journal, as a template. Internal.';

CREATE TABLE freshet.attachment (
    subject text NOT NULL,
    cache text NOT NULL,
    schema_name name NOT NULL,
    table_name name NOT NULL,
    columns jsonb NOT NULL,
    level text NOT NULL,
    trigger_names text[] NOT NULL,
    CONSTRAINT attachment_level_check CHECK ((level = ANY (ARRAY['statement'::text, 'row'::text])))
);

ALTER TABLE freshet.attachment OWNER TO freshet_owner;

COMMENT ON TABLE freshet.attachment IS 'The attached tables. Written by the functions that attach and detach only.';

CREATE TABLE freshet.cache (
    name text NOT NULL,
    is_optional boolean NOT NULL,
    attach_name text NOT NULL,
    CONSTRAINT cache_name_check CHECK ((name ~ '^[a-z][a-z0-9]*$'::text))
);

ALTER TABLE freshet.cache OWNER TO freshet_owner;

COMMENT ON TABLE freshet.cache IS 'The caches. Written by migrations only.';

CREATE TABLE freshet.cache_column (
    subject text NOT NULL,
    role text NOT NULL,
    place smallint NOT NULL,
    part text NOT NULL,
    kind text NOT NULL,
    journaled_as name NOT NULL,
    parameter text NOT NULL,
    CONSTRAINT cache_column_kind_check CHECK ((kind = ANY (ARRAY['integer'::text, 'text'::text]))),
    CONSTRAINT cache_column_part_check CHECK ((part = ANY (ARRAY['key'::text, 'value'::text]))),
    CONSTRAINT cache_column_role_check CHECK ((role ~ '^[a-z][a-z_]*$'::text))
);

ALTER TABLE freshet.cache_column OWNER TO freshet_owner;

COMMENT ON TABLE freshet.cache_column IS 'The columns that a cache reads. Written by migrations only.';

CREATE TABLE freshet.cache_table (
    subject text NOT NULL,
    cache text NOT NULL,
    place smallint NOT NULL,
    events text[] NOT NULL,
    is_read boolean NOT NULL,
    CONSTRAINT cache_table_events_check CHECK ((events <@ ARRAY['insert'::text, 'update'::text, 'delete'::text])),
    CONSTRAINT cache_table_subject_check CHECK ((subject ~ '^[a-z][a-z_]*$'::text))
);

ALTER TABLE freshet.cache_table OWNER TO freshet_owner;

COMMENT ON TABLE freshet.cache_table IS 'The tables that a cache watches. Written by migrations only.';

CREATE VIEW freshet.attached AS
 SELECT s.subject,
    c.oid AS relation_oid,
    c.relfilenode AS filenode,
    (w.problem IS NULL) AS ok,
    concat_ws(':'::text, s.subject, c.oid, c.xmin, c.relfilenode, k.fingerprint, t.fingerprint) AS fingerprint,
    w.problem,
        CASE
            WHEN (a.subject IS NOT NULL) THEN format('%I.%I'::text, a.schema_name, a.table_name)
            ELSE NULL::text
        END AS table_name,
    ((c.oid IS NOT NULL) AND (t.missing IS NULL) AND (t.disabled IS NULL)) AS triggers_enabled,
    s.cache
   FROM (((((((freshet.cache h
     JOIN freshet.cache_table s ON ((s.cache = h.name)))
     LEFT JOIN freshet.attachment a ON ((a.subject = s.subject)))
     LEFT JOIN pg_namespace n ON ((n.nspname = a.schema_name)))
     LEFT JOIN pg_class c ON (((c.relnamespace = n.oid) AND (c.relname = a.table_name))))
     CROSS JOIN LATERAL ( SELECT ( SELECT md5(string_agg(format('%s=%I/%s/%s'::text, o.attnum, o.attname, o.atttypid, o.xmin), ','::text ORDER BY o.attnum)) AS md5
                   FROM pg_attribute o
                  WHERE ((o.attrelid = c.oid) AND (o.attnum > 0))) AS fingerprint,
            string_agg(u.name, ', '::text ORDER BY u.place) FILTER (WHERE (NOT u.fits)) AS unfit,
            string_agg(DISTINCT
                CASE u.kind
                    WHEN 'integer'::text THEN 'integers'::text
                    ELSE u.kind
                END, ' or '::text) FILTER (WHERE (NOT u.fits)) AS wanted
           FROM ( SELECT (a.columns ->> d.role) AS name,
                    d.place,
                    d.kind,
                        CASE d.kind
                            WHEN 'integer'::text THEN COALESCE((f.atttypid = ANY (ARRAY[(20)::oid, (21)::oid, (23)::oid])), false)
                            ELSE COALESCE(((f.atttypid = ANY (ARRAY[(25)::oid, (1043)::oid])) AND l.collisdeterministic), false)
                        END AS fits
                   FROM ((freshet.cache_column d
                     LEFT JOIN pg_attribute f ON (((f.attrelid = c.oid) AND (f.attname = ((a.columns ->> d.role))::name) AND (f.attnum > 0) AND (NOT f.attisdropped))))
                     LEFT JOIN pg_collation l ON ((l.oid = f.attcollation)))
                  WHERE (d.subject = a.subject)) u) k)
     CROSS JOIN LATERAL ( SELECT string_agg(format('%s=%s/%s/%s'::text, u.name, g.tgenabled, g.xmin, p.xmin), ','::text ORDER BY u.place) AS fingerprint,
            string_agg(u.name, ', '::text ORDER BY u.place) FILTER (WHERE (p.oid IS NULL)) AS missing,
            string_agg(u.name, ', '::text ORDER BY u.place) FILTER (WHERE (g.tgenabled <> 'A'::"char")) AS disabled
           FROM (((unnest(a.trigger_names) WITH ORDINALITY u(name, place)
             LEFT JOIN pg_trigger g ON (((g.tgrelid = c.oid) AND (g.tgname = u.name) AND (NOT g.tgisinternal))))
             LEFT JOIN pg_namespace pn ON ((pn.nspname = 'freshet'::name)))
             LEFT JOIN pg_proc p ON (((p.oid = g.tgfoid) AND (p.pronamespace = pn.oid) AND (p.proname = substr(u.name, (length('freshet_'::text) + 1))))))) t)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (a.subject IS NULL) THEN format('no %s table is attached; run %s()'::text, s.subject, h.attach_name)
                    WHEN (c.oid IS NULL) THEN format('table %I.%I does not exist; if it has another name now, run %s() and attach that'::text, a.schema_name, a.table_name, replace(h.attach_name, '.attach'::text, '.detach'::text))
                    WHEN ((c.relkind <> 'r'::"char") OR c.relispartition OR (EXISTS ( SELECT
                       FROM pg_inherits i
                      WHERE ((c.oid = i.inhrelid) OR (c.oid = i.inhparent))))) THEN format('%I.%I is no longer an ordinary table without partitions or inheritance, so writes can pass its triggers by; make it one'::text, a.schema_name, a.table_name)
                    WHEN (t.missing IS NOT NULL) THEN format('triggers missing on %I.%I: %s; run %s() again'::text, a.schema_name, a.table_name, t.missing, h.attach_name)
                    WHEN (t.disabled IS NOT NULL) THEN format('triggers not enabled ALWAYS on %I.%I: %s; run %s() again'::text, a.schema_name, a.table_name, t.disabled, h.attach_name)
                    WHEN (k.unfit IS NOT NULL) THEN format('columns of %I.%I renamed or no longer %s: %s; run %s() with the columns of today'::text, a.schema_name, a.table_name, k.wanted, k.unfit, h.attach_name)
                    WHEN ((a.level = 'statement'::text) AND (EXISTS ( SELECT
                       FROM pg_subscription_rel r
                      WHERE (r.srrelid = c.oid)))) THEN format('a subscription writes %I.%I, which fires no statement triggers; run %s() with level => ''row'''::text, a.schema_name, a.table_name, h.attach_name)
                    WHEN (s.is_read AND row_security_active(c.oid)) THEN format('row-level security hides rows of %I.%I from role %s; ALTER ROLE %3$I BYPASSRLS'::text, a.schema_name, a.table_name, CURRENT_USER)
                    ELSE NULL::text
                END AS problem) w)
  WHERE ((NOT h.is_optional) OR (EXISTS ( SELECT
           FROM freshet.attachment o
          WHERE (o.cache = h.name))));

ALTER TABLE freshet.attached OWNER TO freshet_owner;

COMMENT ON VIEW freshet.attached IS 'A row for each attached table: whether its triggers are as attached, and what is wrong.';

CREATE TABLE freshet.change (
    id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    cache text,
    subject text NOT NULL,
    operation text NOT NULL,
    row_count bigint NOT NULL,
    hint uuid,
    application_name text DEFAULT current_setting('application_name'::text),
    user_name text DEFAULT SESSION_USER,
    detector_ids bigint[],
    workflow_ids bigint[],
    old_environment_ids bigint[],
    new_environment_ids bigint[],
    datasource_ids bigint[],
    datasource_detector_ids bigint[],
    old_types text[],
    new_types text[],
    old_source_ids text[],
    new_source_ids text[]
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='10000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='10000', autovacuum_vacuum_cost_delay='0', vacuum_truncate='false', toast.autovacuum_vacuum_scale_factor='0', toast.autovacuum_vacuum_threshold='2000', toast.autovacuum_vacuum_cost_delay='0', toast.vacuum_truncate='false');

ALTER TABLE ONLY freshet.change REPLICA IDENTITY FULL;

ALTER TABLE freshet.change OWNER TO freshet_owner;

COMMENT ON TABLE freshet.change IS 'The journal: committed changes that the worker has not applied yet.';

ALTER TABLE freshet.change ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME freshet.change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE freshet.fence (
    cache text NOT NULL,
    mark text,
    triggers text
);

ALTER TABLE freshet.fence OWNER TO freshet_owner;

COMMENT ON TABLE freshet.fence IS 'One row a cache. mark: the worker''s last mark; triggers: fingerprint of the triggers it last acknowledged.';

CREATE UNLOGGED TABLE freshet.incarnation (
    token text NOT NULL,
    singleton boolean DEFAULT true NOT NULL,
    CONSTRAINT incarnation_singleton_check CHECK (singleton)
);

ALTER TABLE freshet.incarnation OWNER TO freshet_owner;

COMMENT ON TABLE freshet.incarnation IS 'At most one row: a token that does not survive a crash or a promotion.';

CREATE TABLE freshet.migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    applied_by text DEFAULT SESSION_USER NOT NULL
);

ALTER TABLE freshet.migration OWNER TO freshet_owner;

COMMENT ON TABLE freshet.migration IS 'Migrations applied: file name without .sql, and SHA-256 of its bytes.';

CREATE TABLE freshet.setting (
    name text NOT NULL,
    value text NOT NULL,
    CONSTRAINT setting_known CHECK (
CASE name
    WHEN 'notify'::text THEN (value = ANY (ARRAY['auto'::text, 'on'::text, 'off'::text]))
    WHEN 'hints'::text THEN (value = ANY (ARRAY['on'::text, 'off'::text]))
    WHEN 'escalation_rows'::text THEN (value ~ '^[1-9][0-9]{0,8}$'::text)
    ELSE false
END)
);

ALTER TABLE freshet.setting OWNER TO freshet_owner;

COMMENT ON TABLE freshet.setting IS 'notify: auto (off where max_prepared_transactions > 0), on, off. hints: on, off; whether a notification carries the facts of a row with few keys, for every role that listens to read. escalation_rows: a statement that changes more rows than this, or touches more and seems to, invalidates everything.';

CREATE VIEW freshet.setting_in_force AS
 SELECT s.escalation_rows,
        CASE
            CASE
                WHEN (w.wish = ANY (ARRAY['on'::text, 'off'::text, 'auto'::text])) THEN w.wish
                ELSE s.notify
            END
            WHEN 'on'::text THEN true
            WHEN 'off'::text THEN false
            ELSE ((current_setting('max_prepared_transactions'::text))::integer = 0)
        END AS notify,
    (s.hints IS DISTINCT FROM 'off'::text) AS hints
   FROM (( SELECT (max(t.value) FILTER (WHERE (t.name = 'escalation_rows'::text)))::bigint AS escalation_rows,
            max(t.value) FILTER (WHERE (t.name = 'notify'::text)) AS notify,
            max(t.value) FILTER (WHERE (t.name = 'hints'::text)) AS hints
           FROM freshet.setting t) s
     CROSS JOIN ( SELECT lower(current_setting('freshet.notify'::text, true)) AS wish) w);

ALTER TABLE freshet.setting_in_force OWNER TO freshet_owner;

COMMENT ON VIEW freshet.setting_in_force IS 'What the settings come to in this session.';

ALTER TABLE ONLY freshet.attachment
    ADD CONSTRAINT attachment_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY freshet.cache_column
    ADD CONSTRAINT cache_column_pkey PRIMARY KEY (subject, role);

ALTER TABLE ONLY freshet.cache_column
    ADD CONSTRAINT cache_column_subject_place_key UNIQUE (subject, place);

ALTER TABLE ONLY freshet.cache
    ADD CONSTRAINT cache_pkey PRIMARY KEY (name);

ALTER TABLE ONLY freshet.cache_table
    ADD CONSTRAINT cache_table_cache_place_key UNIQUE (cache, place);

ALTER TABLE ONLY freshet.cache_table
    ADD CONSTRAINT cache_table_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY freshet.fence
    ADD CONSTRAINT fence_pkey PRIMARY KEY (cache);

ALTER TABLE ONLY freshet.incarnation
    ADD CONSTRAINT incarnation_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY freshet.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY freshet.setting
    ADD CONSTRAINT setting_pkey PRIMARY KEY (name);

CREATE INDEX change_xid ON freshet.change USING btree (xid);

ALTER TABLE ONLY freshet.attachment
    ADD CONSTRAINT attachment_cache_fkey FOREIGN KEY (cache) REFERENCES freshet.cache(name);

ALTER TABLE ONLY freshet.attachment
    ADD CONSTRAINT attachment_subject_fkey FOREIGN KEY (subject) REFERENCES freshet.cache_table(subject);

ALTER TABLE ONLY freshet.cache_column
    ADD CONSTRAINT cache_column_subject_fkey FOREIGN KEY (subject) REFERENCES freshet.cache_table(subject);

ALTER TABLE ONLY freshet.cache_table
    ADD CONSTRAINT cache_table_cache_fkey FOREIGN KEY (cache) REFERENCES freshet.cache(name);

GRANT USAGE ON SCHEMA freshet TO freshet_worker;
GRANT USAGE ON SCHEMA freshet TO freshet_reader;
GRANT USAGE ON SCHEMA freshet TO freshet_auditor;

REVOKE ALL ON FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.attach_cache(cache text, relations regclass[], columns jsonb, level text, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.attach_datasources(datasource regclass, link regclass, detector regclass, datasource_id name, datasource_type name, datasource_source name, link_datasource name, link_detector name, detector_id name, level text, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.attach_ddl_trigger() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.check_table(subject text, relation regclass, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.check_tables(subjects text[], relations regclass[], columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.concerned_by_ddl(event text) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.ddl_changed() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach(lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach_caches(caches text[], lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach_datasources(lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach_ddl_trigger() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.function_names(subject text) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.identity() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.identity() TO freshet_worker;
GRANT ALL ON FUNCTION freshet.identity() TO freshet_reader;
GRANT ALL ON FUNCTION freshet.identity() TO freshet_auditor;

REVOKE ALL ON FUNCTION freshet.invalidate_all() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_all() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.invalidate_datasource(type text, source_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_datasource(type text, source_id text) TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint) TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.journal(cache text, subject text, operation text, row_count bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.let_worker_read(relation regclass, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.notify_enabled() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.notify_enabled() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.planned_triggers(cache text, columns jsonb, level text) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.require_attached(cache text, relations regclass[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.token() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.token() TO freshet_reader;
GRANT ALL ON FUNCTION freshet.token() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.trigger_source(subject text, event text, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.wake() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.worker_may_read(relation regclass, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.write_out(template text, subject text, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.write_row(condition text, operation text, row_count text, facts text[], has_hint boolean) FROM PUBLIC;

GRANT SELECT ON TABLE freshet.attachment TO freshet_worker;
GRANT SELECT ON TABLE freshet.attachment TO freshet_auditor;

GRANT SELECT ON TABLE freshet.attached TO freshet_worker;

GRANT SELECT,DELETE ON TABLE freshet.change TO freshet_worker;
GRANT SELECT ON TABLE freshet.change TO freshet_auditor;

GRANT SELECT,UPDATE ON TABLE freshet.fence TO freshet_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE freshet.incarnation TO freshet_worker;

GRANT SELECT ON TABLE freshet.migration TO freshet_worker;

GRANT SELECT ON TABLE freshet.setting TO freshet_worker;
