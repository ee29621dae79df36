-- What the extension creates says what it is, and goes with it.
SELECT p.oid::regprocedure AS function_without_comment
FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
ORDER BY 1;
SELECT c.oid::regclass AS view_without_comment
FROM pg_class c WHERE c.relnamespace = 'tidemark'::regnamespace AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL
ORDER BY 1;
-- a security definer function has a search path of its own
SELECT p.oid::regprocedure AS open_search_path
FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.prosecdef
AND NOT coalesce(array_to_string(p.proconfig, ',') ~ 'search_path', false)
ORDER BY 1;
-- nobody but the owner writes the catalogue, but for rows that row security allows
SELECT c.oid::regclass AS writable_by_public, a.privilege_type
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'tidemark'::regnamespace AND a.grantee = 0 AND a.privilege_type <> 'SELECT' AND NOT c.relrowsecurity
ORDER BY 1, 2;
DROP EXTENSION tidemark;
SELECT nspname, count(c.oid) AS relations, count(p.oid) AS functions
FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid LEFT JOIN pg_proc p ON p.pronamespace = n.oid
WHERE nspname LIKE 'tidemark%' GROUP BY 1;
