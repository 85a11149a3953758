-- The trigger functions that attach generates for the tables of a cache, from its declaration; and event triggers, for
-- what the triggers of a table cannot see.
--
-- Statement level (the default): AFTER triggers with transition tables, one for each event, because Postgres allows
-- a transition table to a trigger of one event only. A statement costs one journal row, however many rows it changes
-- (an UPDATE of keys: up to three). A statement that changes nothing, or no rows, journals nothing. One that
-- changes more rows than the setting escalation_rows journals a single "escalation", which invalidates everything; so does
-- one that touches more, where it changed all of a hundred of them.
-- Row level: for the subscriber of a logical replication, whose apply process fires row triggers only. One journal
-- row a changed row, and no escalation.
--
-- Hints: the notification of a row with few keys carries the row's facts, so that the worker can invalidate at once, and
-- claim the journal, which decides, afterwards. Its payload is the row's hint, cache, subject and operation, and each
-- column of facts that is not NULL with the text of its array, with single spaces in between:
--
--     <hint> workflows workflow update workflow_ids={7} old_environment_ids={NULL} new_environment_ids={5}
--
-- Only rows of at most 32 keys, which stay far below the 8,000 bytes that a payload may have, and only the first 32 of a
-- transaction (freshet.hinted counts them): each payload is kept until the commit, and copied under a lock that all
-- who notify share, where those without facts fold into one. Only caches whose columns
-- are all integers: a text could contain anything, and whoever may connect may LISTEN, and reads these numbers (where
-- that is too much, set hints to off). A row that is notified without a hint has the payload ''; one that is
-- not notified (see freshet.wake()) has no hint.
--
-- A table that plays a part in two caches bears the triggers of both, and a statement on it costs a journal row for each:
-- so one cache is attached, mended and detached without touching the other.
--
-- The generated functions read their transition tables and freshet.setting, and no table of the application. They
-- run as freshet_owner (SECURITY DEFINER), so a writer needs no privilege in schema freshet, and policies and grants
-- of the application do not matter. Rows are compared with *<>, the binary image: it is defined for every type (json
-- has no =), and reports also what = would call equal (1.0 and 1.00).
--
-- Reading happens in a block with a handler. If a column was renamed or retyped since attach, the write succeeds, a
-- row "drift" invalidates everything, and the server's log says why. The block only reads: a subtransaction that
-- writes nothing takes no transaction id, so a long transaction of many statements does not overflow the
-- subtransaction cache. The journal is written outside the block: if that fails, so does the write. A cache that is
-- wrong without anybody knowing is worse.

SET LOCAL ROLE freshet_owner;

-- Writes a template out for the columns of a table: {{part|separator|text}} becomes the text once for each column of
-- that part, joined by the separator. Parts: key, value, both (keys first), first (the first key). In the text, <column>
-- is the name of the column, quoted where it must be, <role> its role, <type> bigint or text, <types> the object ids of the
-- types that it may have, <journal> the column of the journal. What is written out is not looked at again, so names may contain anything.
CREATE FUNCTION freshet.write_out(template text, subject text, columns jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.write_out(text, text, jsonb) IS 'Writes a template out for the columns of a table. Internal.';

-- The statements that write one row of the journal, and wake the worker as freshet.wake() does: a template too. Internal.
--
--   condition             when to write it, as SQL; NULL: always
--   operation, row_count  as SQL
--   facts                 of each column: its part, the column of the journal, and what is written there, as SQL
CREATE FUNCTION freshet.write_row(
    condition text,
    operation text,
    row_count text,
    facts text[],
    has_hint boolean
) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.write_row(text, text, text, text[], boolean) IS
    'The statements that write one row of the journal, as a template. Internal.';

-- The body of the trigger function for one table and event, from the declaration and the names of the columns by role.
-- Pure text: what attach would install can be read beforehand, and attach compares it with what is installed.
CREATE FUNCTION freshet.trigger_source(subject text, event text, columns jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.trigger_source(text, text, jsonb) IS
    'The body of a generated trigger function. Pure text.';

-- The trigger functions that a table may have, by its subject.
CREATE FUNCTION freshet.function_names(subject text) RETURNS name[]
LANGUAGE sql IMMUTABLE SET search_path = freshet, pg_temp AS $function$
    SELECT pg_catalog.array_agg(pg_catalog.format('%s_%s', function_names.subject, e.event)::pg_catalog.name)
    FROM (VALUES ('insert'), ('update'), ('delete'), ('row'), ('truncate')) AS e (event)
$function$;
COMMENT ON FUNCTION freshet.function_names(text) IS 'The trigger functions of a table, by its subject. Internal.';

-- Optional: event triggers that journal DDL on the attached tables, so that even a change which the triggers cannot
-- see and the worker has not looked for yet (a column retyped, a table swapped, a trigger disabled for a moment)
-- invalidates everything with the commit that made it. Without them the worker notices at its next pass, by
-- fingerprint.
--
-- Installed by freshet.attach_ddl_trigger(), which needs a superuser (or what a hosted Postgres gives instead of
-- one). Locks: none on tables of the application. Every DDL command of the listed kinds, and every DROP, runs the
-- function: it looks at the catalogs, and fails the command only if the journal cannot be written.

-- Which caches the DDL command concerns that the event trigger runs for, and a subject of each; where they could not be
-- looked at, all of them. Internal.
CREATE FUNCTION freshet.concerned_by_ddl(event text) RETURNS TABLE (cache text, subject text)
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.concerned_by_ddl(text) IS 'The caches that a DDL command concerns. Internal.';

CREATE FUNCTION freshet.ddl_changed() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
DECLARE
    concerned record;
BEGIN
    FOR concerned IN SELECT f.cache, f.subject FROM freshet.concerned_by_ddl(TG_EVENT) AS f LOOP
        PERFORM freshet.journal(concerned.cache, concerned.subject, 'ddl');
    END LOOP;
END
$function$;
COMMENT ON FUNCTION freshet.ddl_changed() IS 'Event trigger function: journals DDL on the attached tables.';

-- True if anything was changed.
CREATE FUNCTION freshet.attach_ddl_trigger() RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.attach_ddl_trigger() IS 'Installs the event triggers that journal DDL. Needs a superuser.';

CREATE FUNCTION freshet.detach_ddl_trigger() RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.detach_ddl_trigger() IS 'Removes the event triggers that journal DDL.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
