CREATE SCHEMA freshet;

ALTER SCHEMA freshet OWNER TO freshet_owner;

COMMENT ON SCHEMA freshet IS 'Freshet: a journal of committed changes to three tables, read by the worker that invalidates a cache in Redis.';

CREATE FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name DEFAULT 'id'::name, workflow_id name DEFAULT 'id'::name, workflow_environment name DEFAULT 'environment_id'::name, link_detector name DEFAULT 'detector_id'::name, link_workflow name DEFAULT 'workflow_id'::name, level text DEFAULT 'statement'::text, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    subjects constant text[] := ARRAY['detector', 'workflow', 'link'];
    relations constant regclass[] := ARRAY[detector, workflow, link];
    names text[];
    others text;
    stale text[];
    item record;
BEGIN
    IF attach.level IS NULL OR attach.level NOT IN ('statement', 'row') THEN
        RAISE EXCEPTION 'level % is not known', COALESCE(pg_catalog.quote_literal(attach.level), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use ''statement'', or ''row'' where a logical replication subscription writes the tables.';
    END IF;
    IF detector = workflow OR workflow = link OR detector = link THEN
        RAISE EXCEPTION 'detector, workflow and link must be three tables'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each table once.';
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    -- May these tables be attached at all?
    names := ARRAY[
        freshet.check_table('detector', detector, ARRAY[detector_id]),
        freshet.check_table('workflow', workflow, ARRAY[workflow_id, workflow_environment]),
        freshet.check_table('link', link, ARRAY[link_detector, link_workflow])
    ];
    IF attach.level = 'statement'
        AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r WHERE r.srrelid = ANY (relations))
    THEN
        RAISE EXCEPTION 'a subscription writes these tables, and fires no statement triggers'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call freshet.attach(..., level => ''row'').';
    END IF;
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', o.schema_name, o.table_name, o.subject), ', ')
    INTO others
    FROM freshet.attachment AS o
    WHERE names[pg_catalog.array_position(subjects, o.subject)]
        <> pg_catalog.format('%I.%I', o.schema_name, o.table_name);
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run SELECT freshet.detach() first; in one transaction with attach, no change is missed.';
    END IF;

    -- Is all as wanted already?
    IF (SELECT pg_catalog.bool_and(v.ok OR v.triggers_enabled AND v.problem LIKE 'row-level security%')
        FROM freshet.attached AS v)
        AND NOT EXISTS (
            SELECT FROM freshet.attachment AS o
            WHERE (o.level, o.subject, o.id_column, o.environment_column, o.detector_column, o.workflow_column)
                IS DISTINCT FROM (
                    attach.level,
                    o.subject,
                    CASE o.subject WHEN 'detector' THEN detector_id WHEN 'workflow' THEN workflow_id END,
                    CASE o.subject WHEN 'workflow' THEN workflow_environment END,
                    CASE o.subject WHEN 'link' THEN link_detector END,
                    CASE o.subject WHEN 'link' THEN link_workflow END
                )
        )
        AND NOT EXISTS (
            SELECT
            FROM freshet.planned_triggers(
                detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
            ) AS w
            LEFT JOIN pg_catalog.pg_trigger AS t
                ON t.tgrelid = relations[pg_catalog.array_position(subjects, w.subject)] AND t.tgname = w.trigger_name
            LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
            WHERE p.prosrc IS DISTINCT FROM w.source
        )
        AND freshet.worker_may_read(workflow, ARRAY[workflow_id, workflow_environment])
        AND freshet.worker_may_read(link, ARRAY[link_detector, link_workflow])
    THEN
        RETURN false;
    END IF;

    -- Triggers of ours that are not wanted any more: those of the other level.
    SELECT pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, names[r.place]))
    INTO stale
    FROM pg_catalog.unnest(relations) WITH ORDINALITY AS r (relation, place)
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.relation AND NOT t.tgisinternal
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'freshet'
        AND t.tgname NOT IN (
            SELECT w.trigger_name
            FROM freshet.planned_triggers(
                detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
            ) AS w
            WHERE w.subject = subjects[r.place]
        );
    PERFORM freshet.lock_tables(
        names, CASE WHEN stale IS NULL THEN 'SHARE ROW EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END, lock_tries
    );
    -- The names were looked up before there was a lock.
    IF names <> ARRAY[
        freshet.check_table('detector', detector, ARRAY[detector_id]),
        freshet.check_table('workflow', workflow, ARRAY[workflow_id, workflow_environment]),
        freshet.check_table('link', link, ARRAY[link_detector, link_workflow])
    ] THEN
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
        FROM freshet.planned_triggers(
            detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
        ) AS w
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

    PERFORM freshet.let_worker_read(workflow, ARRAY[workflow_id, workflow_environment]);
    PERFORM freshet.let_worker_read(link, ARRAY[link_detector, link_workflow]);

    DELETE FROM freshet.attachment;
    INSERT INTO freshet.attachment (
        subject, schema_name, table_name, id_column, environment_column, detector_column, workflow_column,
        level, trigger_names
    )
    SELECT
        k.subject, n.nspname, c.relname, k.id_column, k.environment_column, k.detector_column, k.workflow_column,
        attach.level, pg_catalog.array_agg(w.trigger_name ORDER BY w.trigger_name)
    FROM (
        VALUES
            ('detector', detector, detector_id, NULL, NULL, NULL),
            ('workflow', workflow, workflow_id, workflow_environment, NULL, NULL),
            ('link', link, NULL, NULL, link_detector, link_workflow)
    ) AS k (subject, relation, id_column, environment_column, detector_column, workflow_column)
    JOIN pg_catalog.pg_class AS c ON c.oid = k.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN freshet.planned_triggers(
        detector_id, workflow_id, workflow_environment, link_detector, link_workflow, attach.level
    ) AS w ON w.subject = k.subject
    GROUP BY 1, 2, 3, 4, 5, 6, 7;

    PERFORM freshet.journal('namespace', 'attach');
    RETURN true;
END
$$;

ALTER FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) IS 'Puts the triggers on the three tables, or mends them. True if anything was changed.';

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

CREATE FUNCTION freshet.check_table(subject text, relation regclass, columns name[]) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    table_name text;
    kind text;
    facts record;
    wanted name;
    type_oid oid;
BEGIN
    SELECT c.relkind, c.relispartition, c.relpersistence, c.relowner, c.relname, n.nspname
    INTO facts
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the % table is NULL or does not exist', subject
            USING ERRCODE = 'undefined_table', HINT = 'Give the names of the detector, workflow and link tables.';
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

    FOREACH wanted IN ARRAY columns LOOP
        SELECT a.atttypid INTO type_oid
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'column % of the % table % does not exist',
                COALESCE(pg_catalog.quote_ident(wanted), 'NULL'), subject, table_name
                USING ERRCODE = 'undefined_column',
                      HINT = 'Name the columns: freshet.attach(..., detector_id => ..., workflow_id => ..., '
                          'workflow_environment => ..., link_detector => ..., link_workflow => ...).';
        END IF;
        -- bigint, smallint, integer. Not a domain: its cast could fail at any write.
        IF type_oid NOT IN (20, 21, 23) THEN
            RAISE EXCEPTION 'column %.% has type %, not smallint, integer or bigint',
                table_name, pg_catalog.quote_ident(wanted), pg_catalog.format_type(type_oid, NULL)
                USING ERRCODE = 'datatype_mismatch',
                      HINT = 'Freshet''s keys are smallint, integer or bigint, and no domains over them.';
        END IF;
    END LOOP;
    RETURN table_name;
END
$$;

ALTER FUNCTION freshet.check_table(subject text, relation regclass, columns name[]) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.check_table(subject text, relation regclass, columns name[]) IS 'Refuses a table that cannot be attached. Internal.';

CREATE FUNCTION freshet.ddl_changed() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    subject_changed text;
BEGIN
    BEGIN
        IF TG_EVENT = 'sql_drop' THEN
            SELECT pg_catalog.min(a.subject) INTO subject_changed
            FROM pg_catalog.pg_event_trigger_dropped_objects() AS d
            JOIN freshet.attachment AS a
                ON a.schema_name = d.address_names[1] AND a.table_name = d.address_names[2]
            WHERE d.object_type IN ('table', 'table column', 'trigger', 'policy');
        ELSE
            -- A table by the attached name, or one that bears our triggers (it may just have been renamed).
            SELECT pg_catalog.min(COALESCE(a.subject, pg_catalog.split_part(t.tgname, '_', 2))) INTO subject_changed
            FROM pg_catalog.pg_event_trigger_ddl_commands() AS d
            LEFT JOIN pg_catalog.pg_trigger AS changed
                ON changed.oid = d.objid AND d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
            JOIN pg_catalog.pg_class AS c
                ON c.oid = changed.tgrelid OR c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            LEFT JOIN freshet.attachment AS a ON a.schema_name = n.nspname AND a.table_name = c.relname
            LEFT JOIN (
                pg_catalog.pg_trigger AS t
                JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
                JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace AND pn.nspname = 'freshet'
            ) ON t.tgrelid = c.oid
            WHERE a.subject IS NOT NULL OR pn.oid IS NOT NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: a DDL command could not be looked at: % (%)', SQLERRM, SQLSTATE;
        subject_changed := 'namespace';
    END;
    IF subject_changed IS NOT NULL THEN
        PERFORM freshet.journal(subject_changed, 'ddl');
    END IF;
END
$$;

ALTER FUNCTION freshet.ddl_changed() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.ddl_changed() IS 'Event trigger function: journals DDL on the attached tables.';

CREATE FUNCTION freshet.detach(lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    names text[];
    commands text[];
    item record;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);

    SELECT
        pg_catalog.array_agg(DISTINCT pg_catalog.format('%I.%I', tn.nspname, c.relname)),
        pg_catalog.array_agg(pg_catalog.format('DROP TRIGGER IF EXISTS %I ON %I.%I', t.tgname, tn.nspname, c.relname))
    INTO names, commands
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'freshet'
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = c.relnamespace
    WHERE NOT t.tgisinternal;
    IF names IS NULL AND NOT EXISTS (SELECT FROM freshet.attachment) THEN
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
        WHERE n.nspname = 'freshet' AND p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION freshet.%I()', item.proname);
    END LOOP;

    -- What attach granted, where we may take it back: the role is Freshet's own.
    FOR item IN
        SELECT a.schema_name, a.table_name, n.nspowner, c.oid AS relation
        FROM freshet.attachment AS a
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
        LEFT JOIN pg_catalog.pg_class AS c
            ON c.relnamespace = n.oid AND c.relname = a.table_name AND c.relkind IN ('r', 'p')
        WHERE a.subject <> 'detector'
    LOOP
        IF item.relation IS NOT NULL THEN
            EXECUTE pg_catalog.format('REVOKE SELECT ON %I.%I FROM freshet_worker', item.schema_name, item.table_name);
        END IF;
        IF pg_catalog.pg_has_role(CURRENT_USER, item.nspowner, 'USAGE') THEN
            EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA %I FROM freshet_worker', item.schema_name);
        END IF;
    END LOOP;

    DELETE FROM freshet.attachment;
    PERFORM freshet.journal('namespace', 'detach');
    RETURN true;
END
$$;

ALTER FUNCTION freshet.detach(lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach(lock_tries integer) IS 'Takes the triggers off the attached tables. True if there were any.';

CREATE FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    others text;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(28836227677971828);
    SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I (%s)', a.schema_name, a.table_name, a.subject), ', ')
    INTO others
    FROM freshet.attachment AS a
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
    WHERE c.oid IS DISTINCT FROM
        CASE a.subject WHEN 'detector' THEN detector WHEN 'workflow' THEN workflow WHEN 'link' THEN link END;
    IF others IS NOT NULL THEN
        RAISE EXCEPTION 'other tables are attached: %', others
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Name those, or run SELECT freshet.detach() for whatever is attached.';
    END IF;
    RETURN freshet.detach(lock_tries);
END
$$;

ALTER FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) IS 'Takes the triggers off these tables, or fails if others are attached.';

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
    RETURN freshet.journal('namespace', 'invalidate');
END
$$;

ALTER FUNCTION freshet.invalidate_all() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_all() IS 'Invalidates everything, when the transaction commits.';

CREATE FUNCTION freshet.invalidate_detector(detector_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    IF detector_id IS NULL THEN
        RAISE EXCEPTION 'the detector to invalidate is NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Name a detector, or call freshet.invalidate_all() to invalidate everything.';
    END IF;
    RETURN freshet.journal('detector', 'invalidate', 1, detector_ids => ARRAY[detector_id]);
END
$$;

ALTER FUNCTION freshet.invalidate_detector(detector_id bigint) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_detector(detector_id bigint) IS 'Invalidates a detector in every environment, when the transaction commits.';

CREATE FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
BEGIN
    IF detector_id IS NULL THEN
        RAISE EXCEPTION 'the detector to invalidate is NULL'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Name a detector, or call freshet.invalidate_all() to invalidate everything.';
    END IF;
    RETURN freshet.journal(
        'entry', 'invalidate', 1,
        detector_ids => ARRAY[detector_id], new_environment_ids => ARRAY[environment_id]
    );
END
$$;

ALTER FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) IS 'Invalidates a detector in one environment (NULL: the global one), when the transaction commits.';

CREATE FUNCTION freshet.journal(subject text, operation text, row_count bigint DEFAULT 0, detector_ids bigint[] DEFAULT NULL::bigint[], workflow_ids bigint[] DEFAULT NULL::bigint[], old_environment_ids bigint[] DEFAULT NULL::bigint[], new_environment_ids bigint[] DEFAULT NULL::bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
DECLARE
    change_id bigint;
BEGIN
    INSERT INTO freshet.change AS c (
        subject, operation, row_count, detector_ids, workflow_ids, old_environment_ids, new_environment_ids
    ) VALUES (
        journal.subject, journal.operation, journal.row_count, journal.detector_ids, journal.workflow_ids,
        journal.old_environment_ids, journal.new_environment_ids
    )
    RETURNING c.id INTO change_id;

    IF freshet.notify_enabled() AND pg_catalog.pg_notification_queue_usage() <= 0.5 THEN
        PERFORM pg_catalog.pg_notify('freshet_change', '');
    END IF;
    RETURN change_id;
END
$$;

ALTER FUNCTION freshet.journal(subject text, operation text, row_count bigint, detector_ids bigint[], workflow_ids bigint[], old_environment_ids bigint[], new_environment_ids bigint[]) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.journal(subject text, operation text, row_count bigint, detector_ids bigint[], workflow_ids bigint[], old_environment_ids bigint[], new_environment_ids bigint[]) IS 'Writes one journal row and wakes the worker. Internal.';

CREATE FUNCTION freshet.let_worker_read(relation regclass, columns name[]) RETURNS void
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
        (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c), ', ') FROM pg_catalog.unnest(columns) AS c),
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

ALTER FUNCTION freshet.let_worker_read(relation regclass, columns name[]) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.let_worker_read(relation regclass, columns name[]) IS 'Grants freshet_worker these columns. Internal.';

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
DECLARE
    wish text := pg_catalog.lower(pg_catalog.current_setting('freshet.notify', true));
BEGIN
    IF wish IS NULL OR wish NOT IN ('on', 'off', 'auto') THEN
        SELECT s.value INTO wish FROM freshet.setting AS s WHERE s.name = 'notify';
    END IF;
    RETURN CASE wish
        WHEN 'on' THEN true
        WHEN 'off' THEN false
        ELSE pg_catalog.current_setting('max_prepared_transactions')::integer = 0
    END;
END
$$;

ALTER FUNCTION freshet.notify_enabled() OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.notify_enabled() IS 'Whether a change sends NOTIFY freshet_change.';

CREATE FUNCTION freshet.planned_triggers(detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text) RETURNS TABLE(subject text, trigger_name text, source text, declaration text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT
        t.subject,
        pg_catalog.format('freshet_%s_%s', t.subject, e.event),
        freshet.trigger_source(
            t.subject, e.event, t.id_column, t.environment_column, t.detector_column, t.workflow_column
        ),
        e.declaration
    FROM (
        VALUES
            ('detector', detector_id, NULL, NULL, NULL),
            ('workflow', workflow_id, workflow_environment, NULL, NULL),
            ('link', NULL, NULL, link_detector, link_workflow)
    ) AS t (subject, id_column, environment_column, detector_column, workflow_column)
    JOIN (
        VALUES
            -- A new detector has no entry that could be wrong.
            ('statement', false, 'insert', 'AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', true, 'update',
                'AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'),
            ('statement', true, 'delete', 'AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'),
            ('row', NULL, 'row', 'AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW'),
            -- TRUNCATE has no row triggers; a replication apply process fires this one too.
            (NULL, true, 'truncate', 'AFTER TRUNCATE ON %s FOR EACH STATEMENT')
    ) AS e (level, for_detector, event, declaration)
        ON COALESCE(e.level, planned_triggers.level) = planned_triggers.level
        AND (t.subject <> 'detector' OR e.for_detector IS DISTINCT FROM false)
    ORDER BY 1, 2
$$;

ALTER FUNCTION freshet.planned_triggers(detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.planned_triggers(detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text) IS 'What freshet.attach() installs.';

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

CREATE FUNCTION freshet.trigger_source(subject text, event text, id_column name DEFAULT NULL::name, environment_column name DEFAULT NULL::name, detector_column name DEFAULT NULL::name, workflow_column name DEFAULT NULL::name) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $_$
DECLARE
    -- Names that the application may have used for columns are harmless: columns are always qualified, variables
    -- labelled.
    statement_frame constant text := $frame$
<<journaling>>
DECLARE
    row_limit bigint;
    changed_rows bigint;
    detectors bigint[];
    workflows bigint[];
    old_environments bigint[];
    new_environments bigint[];
    deleted_workflows bigint[];
    deleted_environments bigint[];
    inserted_workflows bigint[];
    inserted_environments bigint[];
BEGIN
    SELECT s.value::bigint INTO row_limit FROM freshet.setting AS s WHERE s.name = 'escalation_rows';
    BEGIN
{{read}}
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: rows of %.% could not be read: % (%)', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM, SQLSTATE;
        PERFORM freshet.journal('{{subject}}', 'drift');
        RETURN NULL;
    END;
    IF changed_rows = 0 THEN
        RETURN NULL;
    END IF;
    IF changed_rows > row_limit THEN
        SELECT pg_catalog.count(*) INTO changed_rows FROM {{rows}};
        PERFORM freshet.journal('{{subject}}', 'escalation', changed_rows);
        RETURN NULL;
    END IF;
{{write}}
    RETURN NULL;
END
$frame$;
    row_frame constant text := $frame$
DECLARE
    old_key bigint;
    new_key bigint;
    old_value bigint;
    new_value bigint;
    detectors bigint[];
    workflows bigint[];
BEGIN
    BEGIN
        IF TG_OP = 'UPDATE' AND NOT (OLD OPERATOR(pg_catalog.*<>) NEW) THEN
            RETURN NULL;
        END IF;
{{read}}
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'freshet: a row of %.% could not be read: % (%)', TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLERRM, SQLSTATE;
        PERFORM freshet.journal('{{subject}}', 'drift');
        RETURN NULL;
    END;
{{write}}
    RETURN NULL;
END
$frame$;
    truncate_frame constant text := $frame$
BEGIN
    PERFORM freshet.journal('{{subject}}', 'truncate');
    RETURN NULL;
END
$frame$;
    frame text := statement_frame;
    rows_read text := 'new_rows';
    read_part text := '';
    write_part text := '';
BEGIN
    CASE trigger_source.subject || ' ' || trigger_source.event

    -- A row without a key is in nobody's cache, so NULL keys are left out throughout.

    -- Detectors. A changed id counts for both the old and the new detector.
    WHEN 'detector update' THEN
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.detector)
        INTO changed_rows, detectors
        FROM (
            SELECT COALESCE(o.{{id}}, n.{{id}})::bigint AS detector
            FROM old_rows AS o FULL JOIN new_rows AS n ON o.{{id}} = n.{{id}}
            WHERE (o.{{id}} IS NULL) <> (n.{{id}} IS NULL) OR (o.*) OPERATOR(pg_catalog.*<>) (n.*)
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal('detector', 'update', changed_rows, detector_ids => detectors);$write$;
    WHEN 'detector delete' THEN
        rows_read := 'old_rows';
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.detector)
        INTO changed_rows, detectors
        FROM (
            SELECT o.{{id}}::bigint AS detector
            FROM old_rows AS o
            WHERE o.{{id}} IS NOT NULL
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal('detector', 'delete', changed_rows, detector_ids => detectors);$write$;
    WHEN 'detector row' THEN
        frame := row_frame;
        read_part := $read$
        old_key := OLD.{{id}}::bigint;
        IF TG_OP = 'UPDATE' THEN
            new_key := NEW.{{id}}::bigint;
        END IF;$read$;
        write_part := $write$
    detectors := pg_catalog.array_remove(ARRAY[old_key, NULLIF(new_key, old_key)], NULL);
    IF pg_catalog.cardinality(detectors) > 0 THEN
        PERFORM freshet.journal('detector', pg_catalog.lower(TG_OP), 1, detector_ids => detectors);
    END IF;$write$;

    -- Workflows. Inserts too: where no foreign key is enforced, a link may be older than its workflow. An UPDATE of
    -- the id is the deletion of one workflow and the insertion of another.
    WHEN 'workflow insert' THEN
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.workflow), pg_catalog.array_agg(c.environment)
        INTO changed_rows, workflows, new_environments
        FROM (
            SELECT n.{{id}}::bigint AS workflow, n.{{environment}}::bigint AS environment
            FROM new_rows AS n
            WHERE n.{{id}} IS NOT NULL
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal(
        'workflow', 'insert', changed_rows, workflow_ids => workflows, new_environment_ids => new_environments
    );$write$;
    WHEN 'workflow update' THEN
        read_part := $read$
        SELECT
            pg_catalog.count(*),
            pg_catalog.array_agg(c.old_workflow) FILTER (WHERE c.old_workflow = c.new_workflow),
            pg_catalog.array_agg(c.old_environment) FILTER (WHERE c.old_workflow = c.new_workflow),
            pg_catalog.array_agg(c.new_environment) FILTER (WHERE c.old_workflow = c.new_workflow),
            pg_catalog.array_agg(c.old_workflow) FILTER (WHERE c.new_workflow IS NULL),
            pg_catalog.array_agg(c.old_environment) FILTER (WHERE c.new_workflow IS NULL),
            pg_catalog.array_agg(c.new_workflow) FILTER (WHERE c.old_workflow IS NULL),
            pg_catalog.array_agg(c.new_environment) FILTER (WHERE c.old_workflow IS NULL)
        INTO
            changed_rows, workflows, old_environments, new_environments,
            deleted_workflows, deleted_environments, inserted_workflows, inserted_environments
        FROM (
            SELECT
                o.{{id}}::bigint AS old_workflow, o.{{environment}}::bigint AS old_environment,
                n.{{id}}::bigint AS new_workflow, n.{{environment}}::bigint AS new_environment
            FROM old_rows AS o FULL JOIN new_rows AS n ON o.{{id}} = n.{{id}}
            WHERE (o.{{id}} IS NULL) <> (n.{{id}} IS NULL) OR (o.*) OPERATOR(pg_catalog.*<>) (n.*)
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    IF workflows IS NOT NULL THEN
        PERFORM freshet.journal(
            'workflow', 'update', pg_catalog.cardinality(workflows), workflow_ids => workflows,
            old_environment_ids => old_environments, new_environment_ids => new_environments
        );
    END IF;
    IF deleted_workflows IS NOT NULL THEN
        PERFORM freshet.journal(
            'workflow', 'delete', pg_catalog.cardinality(deleted_workflows), workflow_ids => deleted_workflows,
            old_environment_ids => deleted_environments
        );
    END IF;
    IF inserted_workflows IS NOT NULL THEN
        PERFORM freshet.journal(
            'workflow', 'insert', pg_catalog.cardinality(inserted_workflows), workflow_ids => inserted_workflows,
            new_environment_ids => inserted_environments
        );
    END IF;$write$;
    WHEN 'workflow delete' THEN
        rows_read := 'old_rows';
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.workflow), pg_catalog.array_agg(c.environment)
        INTO changed_rows, workflows, old_environments
        FROM (
            SELECT o.{{id}}::bigint AS workflow, o.{{environment}}::bigint AS environment
            FROM old_rows AS o
            WHERE o.{{id}} IS NOT NULL
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal(
        'workflow', 'delete', changed_rows, workflow_ids => workflows, old_environment_ids => old_environments
    );$write$;
    WHEN 'workflow row' THEN
        frame := row_frame;
        read_part := $read$
        IF TG_OP <> 'INSERT' THEN
            old_key := OLD.{{id}}::bigint;
            old_value := OLD.{{environment}}::bigint;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_key := NEW.{{id}}::bigint;
            new_value := NEW.{{environment}}::bigint;
        END IF;$read$;
        write_part := $write$
    IF old_key = new_key THEN
        PERFORM freshet.journal(
            'workflow', 'update', 1, workflow_ids => ARRAY[new_key],
            old_environment_ids => ARRAY[old_value], new_environment_ids => ARRAY[new_value]
        );
        RETURN NULL;
    END IF;
    IF old_key IS NOT NULL THEN
        PERFORM freshet.journal(
            'workflow', 'delete', 1, workflow_ids => ARRAY[old_key], old_environment_ids => ARRAY[old_value]
        );
    END IF;
    IF new_key IS NOT NULL THEN
        PERFORM freshet.journal(
            'workflow', 'insert', 1, workflow_ids => ARRAY[new_key], new_environment_ids => ARRAY[new_value]
        );
    END IF;$write$;

    -- Links, as pairs. A link that was moved counts with the old and the new pair. One without a detector or without
    -- a workflow links nothing.
    WHEN 'link insert' THEN
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.detector), pg_catalog.array_agg(c.workflow)
        INTO changed_rows, detectors, workflows
        FROM (
            SELECT n.{{detector}}::bigint AS detector, n.{{workflow}}::bigint AS workflow
            FROM new_rows AS n
            WHERE n.{{detector}} IS NOT NULL AND n.{{workflow}} IS NOT NULL
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal(
        'link', 'insert', changed_rows, detector_ids => detectors, workflow_ids => workflows
    );$write$;
    WHEN 'link update' THEN
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.detector), pg_catalog.array_agg(c.workflow)
        INTO changed_rows, detectors, workflows
        FROM (
            SELECT
                COALESCE(o.{{detector}}, n.{{detector}})::bigint AS detector,
                COALESCE(o.{{workflow}}, n.{{workflow}})::bigint AS workflow
            FROM old_rows AS o
            FULL JOIN new_rows AS n ON o.{{detector}} = n.{{detector}} AND o.{{workflow}} = n.{{workflow}}
            WHERE COALESCE(o.{{detector}}, n.{{detector}}) IS NOT NULL
                AND COALESCE(o.{{workflow}}, n.{{workflow}}) IS NOT NULL
                AND (o.{{detector}} IS NULL OR n.{{detector}} IS NULL OR (o.*) OPERATOR(pg_catalog.*<>) (n.*))
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal(
        'link', 'update', changed_rows, detector_ids => detectors, workflow_ids => workflows
    );$write$;
    WHEN 'link delete' THEN
        rows_read := 'old_rows';
        read_part := $read$
        SELECT pg_catalog.count(*), pg_catalog.array_agg(c.detector), pg_catalog.array_agg(c.workflow)
        INTO changed_rows, detectors, workflows
        FROM (
            SELECT o.{{detector}}::bigint AS detector, o.{{workflow}}::bigint AS workflow
            FROM old_rows AS o
            WHERE o.{{detector}} IS NOT NULL AND o.{{workflow}} IS NOT NULL
            LIMIT journaling.row_limit + 1
        ) AS c;$read$;
        write_part := $write$
    PERFORM freshet.journal(
        'link', 'delete', changed_rows, detector_ids => detectors, workflow_ids => workflows
    );$write$;
    WHEN 'link row' THEN
        frame := row_frame;
        read_part := $read$
        IF TG_OP <> 'INSERT' THEN
            old_key := OLD.{{detector}}::bigint;
            old_value := OLD.{{workflow}}::bigint;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_key := NEW.{{detector}}::bigint;
            new_value := NEW.{{workflow}}::bigint;
        END IF;$read$;
        write_part := $write$
    SELECT pg_catalog.array_agg(p.detector), pg_catalog.array_agg(p.workflow)
    INTO detectors, workflows
    FROM (SELECT old_key, old_value UNION SELECT new_key, new_value) AS p (detector, workflow)
    WHERE p.detector IS NOT NULL AND p.workflow IS NOT NULL;
    IF detectors IS NOT NULL THEN
        PERFORM freshet.journal(
            'link', pg_catalog.lower(TG_OP), 1, detector_ids => detectors, workflow_ids => workflows
        );
    END IF;$write$;

    WHEN 'detector truncate', 'workflow truncate', 'link truncate' THEN
        frame := truncate_frame;
    END CASE;

    RETURN (
        SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(s.body,
            '{{id}}', pg_catalog.quote_ident(COALESCE(id_column, ''))),
            '{{environment}}', pg_catalog.quote_ident(COALESCE(environment_column, ''))),
            '{{detector}}', pg_catalog.quote_ident(COALESCE(detector_column, ''))),
            '{{workflow}}', pg_catalog.quote_ident(COALESCE(workflow_column, '')))
        FROM (
            SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(frame,
                '{{read}}', pg_catalog.ltrim(read_part, E'\n')),
                '{{write}}', pg_catalog.ltrim(write_part, E'\n')),
                '{{subject}}', trigger_source.subject),
                '{{rows}}', rows_read) AS body
        ) AS s
    );
END
$_$;

ALTER FUNCTION freshet.trigger_source(subject text, event text, id_column name, environment_column name, detector_column name, workflow_column name) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.trigger_source(subject text, event text, id_column name, environment_column name, detector_column name, workflow_column name) IS 'The body of a generated trigger function. Pure text.';

CREATE FUNCTION freshet.worker_may_read(relation regclass, columns name[]) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'freshet', 'pg_temp'
    AS $$
    SELECT pg_catalog.has_schema_privilege('freshet_worker', c.relnamespace, 'USAGE')
        AND (
            SELECT pg_catalog.bool_and(pg_catalog.has_column_privilege('freshet_worker', c.oid, a.attnum, 'SELECT'))
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = ANY (columns)
        )
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$$;

ALTER FUNCTION freshet.worker_may_read(relation regclass, columns name[]) OWNER TO freshet_owner;

COMMENT ON FUNCTION freshet.worker_may_read(relation regclass, columns name[]) IS 'Whether freshet_worker may read them. Internal.';

CREATE TABLE freshet.attachment (
    subject text NOT NULL,
    schema_name name NOT NULL,
    table_name name NOT NULL,
    id_column name,
    environment_column name,
    detector_column name,
    workflow_column name,
    level text NOT NULL,
    trigger_names text[] NOT NULL,
    CONSTRAINT attachment_columns CHECK (
CASE subject
    WHEN 'detector'::text THEN ((id_column IS NOT NULL) AND (environment_column IS NULL) AND (detector_column IS NULL) AND (workflow_column IS NULL))
    WHEN 'workflow'::text THEN ((id_column IS NOT NULL) AND (environment_column IS NOT NULL) AND (detector_column IS NULL) AND (workflow_column IS NULL))
    WHEN 'link'::text THEN ((detector_column IS NOT NULL) AND (workflow_column IS NOT NULL) AND (id_column IS NULL) AND (environment_column IS NULL))
    ELSE NULL::boolean
END),
    CONSTRAINT attachment_level_check CHECK ((level = ANY (ARRAY['statement'::text, 'row'::text]))),
    CONSTRAINT attachment_subject_check CHECK ((subject = ANY (ARRAY['detector'::text, 'workflow'::text, 'link'::text])))
);

ALTER TABLE freshet.attachment OWNER TO freshet_owner;

COMMENT ON TABLE freshet.attachment IS 'The attached tables. Written by freshet.attach() and freshet.detach() only.';

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
    ((c.oid IS NOT NULL) AND (t.missing IS NULL) AND (t.disabled IS NULL)) AS triggers_enabled
   FROM ((((((( VALUES ('detector'::text), ('workflow'::text), ('link'::text)) s(subject)
     LEFT JOIN freshet.attachment a ON ((a.subject = s.subject)))
     LEFT JOIN pg_namespace n ON ((n.nspname = a.schema_name)))
     LEFT JOIN pg_class c ON (((c.relnamespace = n.oid) AND (c.relname = a.table_name))))
     CROSS JOIN LATERAL ( SELECT ( SELECT md5(string_agg(format('%s=%I/%s/%s'::text, o.attnum, o.attname, o.atttypid, o.xmin), ','::text ORDER BY o.attnum)) AS md5
                   FROM pg_attribute o
                  WHERE ((o.attrelid = c.oid) AND (o.attnum > 0))) AS fingerprint,
            string_agg((u.name)::text, ', '::text ORDER BY u.place) FILTER (WHERE ((f.atttypid IS NULL) OR (f.atttypid <> ALL (ARRAY[(20)::oid, (21)::oid, (23)::oid])))) AS unfit
           FROM (unnest(ARRAY[a.id_column, a.environment_column, a.detector_column, a.workflow_column]) WITH ORDINALITY u(name, place)
             LEFT JOIN pg_attribute f ON (((f.attrelid = c.oid) AND (f.attname = u.name) AND (f.attnum > 0) AND (NOT f.attisdropped))))
          WHERE (u.name IS NOT NULL)) k)
     CROSS JOIN LATERAL ( SELECT string_agg(format('%s=%s/%s/%s'::text, u.name, g.tgenabled, g.xmin, p.xmin), ','::text ORDER BY u.place) AS fingerprint,
            string_agg(u.name, ', '::text ORDER BY u.place) FILTER (WHERE (p.oid IS NULL)) AS missing,
            string_agg(u.name, ', '::text ORDER BY u.place) FILTER (WHERE (g.tgenabled <> 'A'::"char")) AS disabled
           FROM (((unnest(a.trigger_names) WITH ORDINALITY u(name, place)
             LEFT JOIN pg_trigger g ON (((g.tgrelid = c.oid) AND (g.tgname = u.name) AND (NOT g.tgisinternal))))
             LEFT JOIN pg_namespace pn ON ((pn.nspname = 'freshet'::name)))
             LEFT JOIN pg_proc p ON (((p.oid = g.tgfoid) AND (p.pronamespace = pn.oid) AND (p.proname = substr(u.name, (length('freshet_'::text) + 1))))))) t)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (a.subject IS NULL) THEN format('no %s table is attached; run freshet.attach()'::text, s.subject)
                    WHEN (c.oid IS NULL) THEN format('table %I.%I does not exist; if it has another name now, run freshet.detach() and attach that'::text, a.schema_name, a.table_name)
                    WHEN ((c.relkind <> 'r'::"char") OR c.relispartition OR (EXISTS ( SELECT
                       FROM pg_inherits i
                      WHERE ((c.oid = i.inhrelid) OR (c.oid = i.inhparent))))) THEN format('%I.%I is no longer an ordinary table without partitions or inheritance, so writes can pass its triggers by; make it one'::text, a.schema_name, a.table_name)
                    WHEN (t.missing IS NOT NULL) THEN format('triggers missing on %I.%I: %s; run freshet.attach() again'::text, a.schema_name, a.table_name, t.missing)
                    WHEN (t.disabled IS NOT NULL) THEN format('triggers not enabled ALWAYS on %I.%I: %s; run freshet.attach() again'::text, a.schema_name, a.table_name, t.disabled)
                    WHEN (k.unfit IS NOT NULL) THEN format('columns of %I.%I renamed or no longer integers: %s; run freshet.attach() with the columns of today'::text, a.schema_name, a.table_name, k.unfit)
                    WHEN ((a.level = 'statement'::text) AND (EXISTS ( SELECT
                       FROM pg_subscription_rel r
                      WHERE (r.srrelid = c.oid)))) THEN format('a subscription writes %I.%I, which fires no statement triggers; run freshet.attach() with level => ''row'''::text, a.schema_name, a.table_name)
                    WHEN ((s.subject <> 'detector'::text) AND row_security_active(c.oid)) THEN format('row-level security hides rows of %I.%I from role %s; ALTER ROLE %3$I BYPASSRLS'::text, a.schema_name, a.table_name, CURRENT_USER)
                    ELSE NULL::text
                END AS problem) w);

ALTER TABLE freshet.attached OWNER TO freshet_owner;

COMMENT ON VIEW freshet.attached IS 'Three rows: each attached table, whether its triggers are as attached, and what is wrong.';

CREATE TABLE freshet.change (
    id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    subject text NOT NULL,
    operation text NOT NULL,
    row_count bigint NOT NULL,
    detector_ids bigint[],
    workflow_ids bigint[],
    old_environment_ids bigint[],
    new_environment_ids bigint[],
    application_name text DEFAULT current_setting('application_name'::text),
    user_name text DEFAULT SESSION_USER
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
    singleton boolean DEFAULT true NOT NULL,
    mark text,
    triggers text,
    CONSTRAINT fence_singleton_check CHECK (singleton)
);

ALTER TABLE freshet.fence OWNER TO freshet_owner;

COMMENT ON TABLE freshet.fence IS 'One row. mark: the worker''s last mark; triggers: fingerprint of the triggers it last acknowledged.';

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
    WHEN 'escalation_rows'::text THEN (value ~ '^[1-9][0-9]{0,8}$'::text)
    ELSE false
END)
);

ALTER TABLE freshet.setting OWNER TO freshet_owner;

COMMENT ON TABLE freshet.setting IS 'notify: auto (off where max_prepared_transactions > 0), on, off. escalation_rows: a statement that changes more rows than this invalidates everything.';

ALTER TABLE ONLY freshet.attachment
    ADD CONSTRAINT attachment_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY freshet.fence
    ADD CONSTRAINT fence_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY freshet.incarnation
    ADD CONSTRAINT incarnation_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY freshet.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY freshet.setting
    ADD CONSTRAINT setting_pkey PRIMARY KEY (name);

CREATE INDEX change_xid ON freshet.change USING btree (xid);

GRANT USAGE ON SCHEMA freshet TO freshet_worker;
GRANT USAGE ON SCHEMA freshet TO freshet_reader;

REVOKE ALL ON FUNCTION freshet.attach(detector regclass, workflow regclass, link regclass, detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.attach_ddl_trigger() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.check_table(subject text, relation regclass, columns name[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.ddl_changed() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach(lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach(detector regclass, workflow regclass, link regclass, lock_tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.detach_ddl_trigger() FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.identity() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.identity() TO freshet_worker;
GRANT ALL ON FUNCTION freshet.identity() TO freshet_reader;

REVOKE ALL ON FUNCTION freshet.invalidate_all() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_all() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint) TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.journal(subject text, operation text, row_count bigint, detector_ids bigint[], workflow_ids bigint[], old_environment_ids bigint[], new_environment_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.let_worker_read(relation regclass, columns name[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.lock_tables(tables text[], mode text, tries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.notify_enabled() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.notify_enabled() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.planned_triggers(detector_id name, workflow_id name, workflow_environment name, link_detector name, link_workflow name, level text) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.token() FROM PUBLIC;
GRANT ALL ON FUNCTION freshet.token() TO freshet_reader;
GRANT ALL ON FUNCTION freshet.token() TO freshet_worker;

REVOKE ALL ON FUNCTION freshet.trigger_source(subject text, event text, id_column name, environment_column name, detector_column name, workflow_column name) FROM PUBLIC;

REVOKE ALL ON FUNCTION freshet.worker_may_read(relation regclass, columns name[]) FROM PUBLIC;

GRANT SELECT ON TABLE freshet.attachment TO freshet_worker;

GRANT SELECT ON TABLE freshet.attached TO freshet_worker;

GRANT SELECT,DELETE ON TABLE freshet.change TO freshet_worker;

GRANT SELECT,UPDATE ON TABLE freshet.fence TO freshet_worker;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE freshet.incarnation TO freshet_worker;

GRANT SELECT ON TABLE freshet.migration TO freshet_worker;

GRANT SELECT ON TABLE freshet.setting TO freshet_worker;
