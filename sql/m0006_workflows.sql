-- The cache "workflows": which enabled workflows a detector triggers, globally and in each environment.
--
-- Locks: ACCESS EXCLUSIVE on the journal for a moment, when its columns are added.

SET LOCAL ROLE freshet_owner;

ALTER TABLE freshet.change
    ADD COLUMN detector_ids        bigint[],
    ADD COLUMN workflow_ids        bigint[],
    -- Parallel to workflow_ids (subject entry: to detector_ids). An element NULL is the global environment; the whole
    -- array is NULL where there was no before (insert) or is no after (delete).
    ADD COLUMN old_environment_ids bigint[],
    ADD COLUMN new_environment_ids bigint[];

INSERT INTO freshet.cache (name, is_optional, attach_name) VALUES ('workflows', false, 'freshet.attach');
INSERT INTO freshet.fence (cache) VALUES ('workflows');

INSERT INTO freshet.cache_table (cache, place, subject, events, is_read) VALUES
    -- A new detector has no entry that could be wrong.
    ('workflows', 1, 'detector', '{update,delete}', false),
    -- Inserts too: where no foreign key is enforced, a link may be older than its workflow.
    ('workflows', 2, 'workflow', '{insert,update,delete}', true),
    ('workflows', 3, 'link', '{insert,update,delete}', true);

INSERT INTO freshet.cache_column (subject, place, role, part, kind, journaled_as, parameter) VALUES
    ('detector', 1, 'id', 'key', 'integer', 'detector_ids', 'detector_id'),
    ('workflow', 1, 'id', 'key', 'integer', 'workflow_ids', 'workflow_id'),
    ('workflow', 2, 'environment', 'value', 'integer', 'environment_ids', 'workflow_environment'),
    -- Links, as pairs.
    ('link', 1, 'detector', 'key', 'integer', 'detector_ids', 'link_detector'),
    ('link', 2, 'workflow', 'key', 'integer', 'workflow_ids', 'link_workflow');

CREATE FUNCTION freshet.attach(
    detector regclass,
    workflow regclass,
    link regclass,
    detector_id name DEFAULT 'id',
    workflow_id name DEFAULT 'id',
    workflow_environment name DEFAULT 'environment_id',
    link_detector name DEFAULT 'detector_id',
    link_workflow name DEFAULT 'workflow_id',
    level text DEFAULT 'statement',
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE sql SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.attach(regclass, regclass, regclass, name, name, name, name, name, text, integer) IS
    'Puts the triggers on the three tables, or mends them. True if anything was changed.';

CREATE FUNCTION freshet.detach(lock_tries integer DEFAULT 1000) RETURNS boolean
LANGUAGE sql SET search_path = freshet, pg_temp AS $function$
    SELECT freshet.detach_caches(ARRAY['workflows'], lock_tries)
$function$;
COMMENT ON FUNCTION freshet.detach(integer) IS 'Takes the triggers off the attached tables. True if there were any.';

-- The same, for scripts that want to be sure which tables they mean.
CREATE FUNCTION freshet.detach(
    detector regclass,
    workflow regclass,
    link regclass,
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE plpgsql SET search_path = freshet, pg_temp AS $function$
BEGIN
    PERFORM freshet.require_attached('workflows', ARRAY[detector, workflow, link]);
    RETURN freshet.detach(lock_tries);
END
$function$;
COMMENT ON FUNCTION freshet.detach(regclass, regclass, regclass, integer) IS
    'Takes the triggers off these tables, or fails if others are attached.';

-- For migrations and people. They return the id of the journal row; it takes effect when the transaction commits.
CREATE FUNCTION freshet.invalidate_detector(detector_id bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.invalidate_detector(bigint) IS
    'Invalidates a detector in every environment, when the transaction commits.';

-- Subject entry: one detector in one environment.
CREATE FUNCTION freshet.invalidate_detector(detector_id bigint, environment_id bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.invalidate_detector(bigint, bigint) IS
    'Invalidates a detector in one environment (NULL: the global one), when the transaction commits.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION freshet.invalidate_detector(bigint), freshet.invalidate_detector(bigint, bigint)
TO freshet_worker;
