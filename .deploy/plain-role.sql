-- Makes Kanvas a plain role of PostgreSQL, which row-level security holds, where an older compose.yaml made it
-- the superuser of its server. That one is called postgres from then on. With Kanvas stopped:
--   docker compose exec -T postgres psql -U kanvas -d kanvas < plain-role.sql
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
BEGIN;
-- nobody renames himself
CREATE ROLE kanvas_renames SUPERUSER;
SET SESSION AUTHORIZATION kanvas_renames;
ALTER ROLE kanvas RENAME TO postgres;
ALTER ROLE postgres PASSWORD NULL;
CREATE ROLE kanvas LOGIN PASSWORD :'password';
ALTER DATABASE kanvas OWNER TO kanvas;
SELECT format('ALTER TABLE %I OWNER TO kanvas', relname) FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \gexec
SELECT format('ALTER FUNCTION %s OWNER TO kanvas', oid::regprocedure) FROM pg_proc
  WHERE pronamespace = 'public'::regnamespace \gexec
RESET SESSION AUTHORIZATION;
DROP ROLE kanvas_renames;
COMMIT;
