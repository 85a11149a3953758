-- The trigger functions that freshet.attach() generates for the three tables of the application.
--
-- Statement level (the default): AFTER triggers with transition tables, one for each event, because Postgres allows
-- a transition table to a trigger of one event only. A statement costs one journal row, however many rows it changes
-- (an UPDATE of workflow ids: up to three). A statement that changes nothing, or no rows, journals nothing. One that
-- changes more rows than the setting escalation_rows journals a single "escalation", which invalidates everything.
-- Row level: for the subscriber of a logical replication, whose apply process fires row triggers only. One journal
-- row a changed row, and no escalation.
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

-- The body of the trigger function for one table and event. Pure text: what attach would install can be read
-- beforehand, and attach compares it with what is installed.
CREATE FUNCTION freshet.trigger_source(
    subject text,
    event text,
    id_column name DEFAULT NULL,
    environment_column name DEFAULT NULL,
    detector_column name DEFAULT NULL,
    workflow_column name DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.trigger_source(text, text, name, name, name, name) IS
    'The body of a generated trigger function. Pure text.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
