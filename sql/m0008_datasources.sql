-- The cache "datasources": which detectors a data source feeds, by the type and the id that its source gave it.
--
-- Optional: where it is not attached it does not exist, costs nothing, and is missed by nobody.
--
-- Locks: ACCESS EXCLUSIVE on the journal for a moment, when its columns are added. It is tried for without queueing, so
-- writers to attached tables wait for that moment only; where it cannot be had, this fails, and is tried again.

SET LOCAL ROLE freshet_owner;

DO $$
BEGIN
    PERFORM freshet.lock_tables(ARRAY['freshet.change'], 'ACCESS EXCLUSIVE', 200);
END
$$;

ALTER TABLE freshet.change
    ADD COLUMN datasource_ids          bigint[],
    ADD COLUMN datasource_detector_ids bigint[],
    -- Parallel to datasource_ids. A data source of which one is NULL is found under no key.
    ADD COLUMN old_types               text[],
    ADD COLUMN new_types               text[],
    ADD COLUMN old_source_ids          text[],
    ADD COLUMN new_source_ids          text[];

INSERT INTO freshet.cache (name, is_optional, attach_name) VALUES ('datasources', true, 'freshet.attach_datasources');
INSERT INTO freshet.fence (cache) VALUES ('datasources');

INSERT INTO freshet.cache_table (cache, place, subject, events, is_read) VALUES
    ('datasources', 1, 'datasource', '{insert,update,delete}', true),
    ('datasources', 2, 'datasource_link', '{insert,update,delete}', true),
    -- Inserts too: where no foreign key is enforced, a link may be older than its detector.
    ('datasources', 3, 'datasource_detector', '{insert,update,delete}', false);

INSERT INTO freshet.cache_column (subject, place, role, part, kind, journaled_as, parameter) VALUES
    ('datasource', 1, 'id', 'key', 'integer', 'datasource_ids', 'datasource_id'),
    ('datasource', 2, 'type', 'value', 'text', 'types', 'datasource_type'),
    ('datasource', 3, 'source', 'value', 'text', 'source_ids', 'datasource_source'),
    -- Links, as pairs.
    ('datasource_link', 1, 'datasource', 'key', 'integer', 'datasource_ids', 'link_datasource'),
    ('datasource_link', 2, 'detector', 'key', 'integer', 'datasource_detector_ids', 'link_detector'),
    ('datasource_detector', 1, 'id', 'key', 'integer', 'datasource_detector_ids', 'detector_id');

CREATE FUNCTION freshet.attach_datasources(
    datasource regclass,
    link regclass,
    detector regclass,
    datasource_id name DEFAULT 'id',
    datasource_type name DEFAULT 'type',
    datasource_source name DEFAULT 'source_id',
    link_datasource name DEFAULT 'data_source_id',
    link_detector name DEFAULT 'detector_id',
    detector_id name DEFAULT 'id',
    level text DEFAULT 'statement',
    lock_tries integer DEFAULT 1000
) RETURNS boolean
LANGUAGE sql SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.attach_datasources(
    regclass, regclass, regclass, name, name, name, name, name, name, text, integer
) IS 'Puts the triggers of the cache "datasources" on its tables, or mends them. True if anything was changed.';

CREATE FUNCTION freshet.detach_datasources(lock_tries integer DEFAULT 1000) RETURNS boolean
LANGUAGE sql SET search_path = freshet, pg_temp AS $function$
    SELECT freshet.detach_caches(ARRAY['datasources'], lock_tries)
$function$;
COMMENT ON FUNCTION freshet.detach_datasources(integer) IS
    'Takes the triggers of the cache "datasources" off. True if there were any.';

-- For migrations and people. Returns the id of the journal row; it takes effect when the transaction commits.
CREATE FUNCTION freshet.invalidate_datasource(type text, source_id text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = freshet, pg_temp AS $function$
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
$function$;
COMMENT ON FUNCTION freshet.invalidate_datasource(text, text) IS
    'Invalidates the detectors of the data sources of a type and a source_id, when the transaction commits.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freshet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION freshet.invalidate_datasource(text, text) TO freshet_worker;
