-- Installs or upgrades the schema with psql alone, exactly as `freshet migrate --no-attach` does:
--
--     psql -X -f sql/install.sql
--
-- Start psql in the folder above this one, or in this one (then -f install.sql): the checksum is that of what `cat`
-- reads from there. Safe to repeat, and to run from many places at once: an applied migration is skipped, and one
-- whose file was edited since is refused by name. Each migration is a transaction of its own. Ends with status 0, or
-- 3 at the first error. Then attach the tables:
--
--     psql -X -c "SELECT freshet.attach('public.detector', 'public.workflow', 'public.detector_workflow')"

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET client_encoding = 'UTF8';

-- Backticks drop one newline at the end of what they read. The echo supplies it, so `content` is the file to the
-- byte.
\set folder `if test -f install.sql; then echo .; else echo sql; fi`

\set migration m0001_roles
\set content `cat :folder/m0001_roles.sql && echo`
\ir apply.sql
\set migration m0002_journal
\set content `cat :folder/m0002_journal.sql && echo`
\ir apply.sql
\set migration m0003_attached
\set content `cat :folder/m0003_attached.sql && echo`
\ir apply.sql
\set migration m0004_triggers
\set content `cat :folder/m0004_triggers.sql && echo`
\ir apply.sql
\set migration m0005_attach
\set content `cat :folder/m0005_attach.sql && echo`
\ir apply.sql
\set migration m0006_workflows
\set content `cat :folder/m0006_workflows.sql && echo`
\ir apply.sql
\set migration m0007_token
\set content `cat :folder/m0007_token.sql && echo`
\ir apply.sql
\set migration m0008_datasources
\set content `cat :folder/m0008_datasources.sql && echo`
\ir apply.sql
\set migration m0009_auditor
\set content `cat :folder/m0009_auditor.sql && echo`
\ir apply.sql
