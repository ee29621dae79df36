-- What a subscription gives, and until when. Several sessions: specs/consumers.spec; crashes: t/065_subscription.pl.
CREATE ROLE feed_owner;
CREATE ROLE feed_reader;
CREATE ROLE feed_other;
GRANT CREATE ON SCHEMA public TO feed_owner;
SET ROLE feed_owner;
CREATE TABLE s (t bigint, k int, v int);
SELECT tidemark.create_stream('s', 't');
CREATE VIEW counts AS SELECT t, k, count(*) OVER w AS n, sum(v) OVER w AS total FROM s WINDOW w AS (PARTITION BY k ORDER BY t RANGE 10 PRECEDING);
-- rights and arguments
SELECT tidemark.create_subscription('counts', 'app');
SELECT tidemark.make_continuous('counts');
INSERT INTO s SELECT i, i % 2, i FROM generate_series(1, 6) i;
SELECT tidemark.wait_until_maintained('counts');
SET ROLE feed_reader;
SELECT tidemark.create_subscription('counts', 'app');
RESET ROLE;
GRANT SELECT ON counts TO feed_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON s TO feed_reader;
SET ROLE feed_reader;
SELECT tidemark.create_subscription('counts', '');
SELECT tidemark.create_subscription('counts', 'app', start_at => 'then');
SELECT tidemark.create_subscription('counts', 'app', key => '{}');
SELECT tidemark.create_subscription('counts', 'app', key => '{x}');
SELECT tidemark.create_subscription('counts', 'app', retention_rows => -1);
SELECT tidemark.create_subscription('s', 'app');
SELECT tidemark.create_subscription('counts', 'app');
SELECT tidemark.create_subscription('counts', 'app');
SELECT * FROM tidemark.next_changes('ap');
SELECT * FROM tidemark.next_changes('app', 0);
SELECT tidemark.acknowledge('app', 'then');
-- all rows of the view, then those that become final; the same ones until they are acknowledged
SELECT op, watermark, row, old_row FROM tidemark.next_changes('app', 3);
SELECT op, watermark, row, old_row FROM tidemark.next_changes('app', 3);
SELECT tidemark.acknowledge('app', max(position)) FROM tidemark.next_changes('app', 3);
SELECT op, watermark, row FROM tidemark.next_changes('app');
SELECT tidemark.acknowledge('app', max(position)) FROM tidemark.next_changes('app');
SELECT op, watermark, row FROM tidemark.next_changes('app');
INSERT INTO s VALUES (7, 1, 7), (7, 0, 7), (8, 0, 8);
SELECT tidemark.wait_until_maintained('counts');
-- in the middle of an event time's rows, what came before is acknowledged
SELECT op, watermark, row ->> 't' AS t, dense_rank() OVER (ORDER BY position) AS position FROM tidemark.next_changes('app') ORDER BY position;
SELECT tidemark.acknowledge('app', min(position)) FROM tidemark.next_changes('app');
SELECT count(*) FROM tidemark.next_changes('app');
SELECT tidemark.acknowledge('app', max(position)) FROM tidemark.next_changes('app', 1);
SELECT row FROM tidemark.next_changes('app');
-- as the view's type
SELECT r.* FROM tidemark.next_changes('app') c, jsonb_populate_record(NULL::counts, c.row) r;
-- corrections: what went and what came, in the order of commits; a transaction's are acknowledged together
INSERT INTO s VALUES (5, 0, 50);
UPDATE s SET v = 0 WHERE t = 2;
DELETE FROM s WHERE t = 3;
SELECT op, watermark, row FROM tidemark.next_changes('app');
SELECT op, watermark, row FROM tidemark.next_changes('app', 2);
SELECT tidemark.acknowledge('app', max(position)) FROM tidemark.next_changes('app');
SELECT count(*) FROM tidemark.next_changes('app');
SELECT count(*) FROM tidemark.verify('counts');
-- with a key they are updates
SELECT tidemark.create_subscription('counts', 'keyed', key => '{t,k}', start_at => 'now');
SELECT tidemark.create_subscription('counts', 'whole', key => '{k}');
SELECT count(*) FROM tidemark.next_changes('keyed');
INSERT INTO s VALUES (5, 1, 50);
BEGIN;
UPDATE s SET v = 1 WHERE t = 6;
UPDATE s SET v = 2 WHERE t = 6;
DELETE FROM s WHERE t = 7 AND k = 1;
COMMIT;
-- came and went; moved to another key; changed back
BEGIN;
INSERT INTO s VALUES (4, 7, 1);
DELETE FROM s WHERE k = 7;
COMMIT;
BEGIN;
UPDATE s SET k = 9 WHERE t = 1;
UPDATE s SET k = 1 WHERE t = 1;
COMMIT;
SELECT op, row, old_row FROM tidemark.next_changes('keyed');
SELECT tidemark.acknowledge('keyed', max(position)) FROM tidemark.next_changes('keyed', 1);
SELECT op, row, old_row FROM tidemark.next_changes('keyed', 4);
-- rows that were final come as they were then, with the changes since; one by one it is the same
CREATE TEMP TABLE whole AS SELECT * FROM tidemark.next_changes('whole');
SELECT op, row, old_row FROM whole ORDER BY position, row;
CREATE TEMP TABLE parts AS SELECT * FROM whole LIMIT 0;
DO $$
BEGIN
    LOOP
        INSERT INTO parts SELECT * FROM tidemark.next_changes('whole', 1);
        EXIT WHEN NOT FOUND;
        PERFORM tidemark.acknowledge('whole', max(position)) FROM parts;
    END LOOP;
END
$$;
SELECT count(*) FROM (SELECT op, row, old_row FROM whole EXCEPT ALL SELECT op, row, old_row FROM parts) d;
SELECT count(*) FROM (SELECT op, row, old_row FROM parts EXCEPT ALL SELECT op, row, old_row FROM whole) d;
SELECT (SELECT max(position) FROM whole) = (SELECT max(position) FROM parts) AS same;
-- with savepoints, and rolled back
BEGIN;
SAVEPOINT a;
SELECT tidemark.acknowledge('keyed', max(position)) FROM tidemark.next_changes('keyed');
SELECT count(*) FROM tidemark.next_changes('keyed');
ROLLBACK TO a;
SELECT count(*) FROM tidemark.next_changes('keyed');
ROLLBACK;
SELECT count(*) FROM tidemark.next_changes('keyed');
BEGIN READ ONLY;
SELECT count(*) FROM tidemark.next_changes('keyed');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM tidemark.next_changes('keyed');
ROLLBACK;
-- positions: of another one, behind, ahead
SELECT tidemark.acknowledge('app', position) FROM tidemark.next_changes('keyed', 1) LIMIT 1;
SELECT position AS first FROM tidemark.next_changes('keyed', 1) ORDER BY position DESC LIMIT 1 \gset
SELECT tidemark.acknowledge('keyed', max(position)) FROM tidemark.next_changes('keyed');
SELECT tidemark.acknowledge('keyed', :'first');
SELECT count(*) FROM tidemark.next_changes('keyed');
SELECT tidemark.acknowledge('keyed', regexp_replace(:'first', '-[0-9A-F]+-', '-8FFFFFFFFFFFFFFF-'));
-- how they are
SELECT view, subscription, key, state, pid = pg_backend_pid() AS mine, acknowledged_up_to, changes, lag_rows, kept_corrections, retention, retention_rows, last_error, role
FROM tidemark.subscriptions ORDER BY subscription;
-- begun anew: positions from before don't count
SELECT tidemark.reset_subscription('keyed');
SELECT tidemark.acknowledge('keyed', :'first');
SELECT count(*) FROM tidemark.next_changes('keyed');
SELECT tidemark.reset_subscription('keyed', 'now');
SELECT count(*) FROM tidemark.next_changes('keyed');
-- who may
SET ROLE feed_other;
SELECT count(*) FROM tidemark.subscriptions;
SELECT count(*) FROM tidemark.next_changes('app');
SELECT tidemark.acknowledge('app', :'first');
SELECT tidemark.drop_subscription('app');
SELECT tidemark.subscription_lag('counts', 0, 0, 0), tidemark.kept_changes('counts', 0);
RESET ROLE;
REVOKE SELECT ON counts FROM feed_reader;
GRANT feed_reader TO feed_other;
SET ROLE feed_other;
SELECT count(*) FROM tidemark.next_changes('app');
RESET ROLE;
GRANT SELECT ON counts TO feed_reader;
SET ROLE feed_other;
SELECT count(*) > 0 FROM tidemark.next_changes('app');
-- the view's owner may end it
SET ROLE feed_owner;
SELECT tidemark.drop_subscription('whole');
SELECT subscription FROM tidemark.subscriptions ORDER BY 1;
-- a view with subscriptions stays
SELECT tidemark.make_batch('counts');
DROP VIEW counts;
ALTER VIEW counts SET (security_invoker);
SELECT count(*) FROM tidemark.next_changes('app');
RESET ROLE;
SELECT count(*) FROM tidemark.next_changes('app');
ALTER VIEW counts RESET (security_invoker);
-- the stream is emptied, and filled again
SELECT tidemark.acknowledge('app', max(position)) FROM tidemark.next_changes('app');
TRUNCATE s;
SELECT op, count(*) FROM tidemark.next_changes('app') GROUP BY op;
INSERT INTO s SELECT i, i % 2, i FROM generate_series(7, 10) i;
SELECT tidemark.wait_until_maintained('counts');
SELECT op, row ->> 't' AS t FROM tidemark.next_changes('app') ORDER BY op, t;
-- one that is replaced has other rows
CREATE OR REPLACE VIEW counts AS SELECT t, k, count(*) OVER w AS n, sum(v) OVER w AS total FROM s WINDOW w AS (PARTITION BY k ORDER BY t RANGE 20 PRECEDING);
SELECT subscription, state, lag_rows FROM tidemark.subscriptions ORDER BY 1;
SELECT count(*) FROM tidemark.next_changes('app');
SELECT tidemark.reset_subscription('app');
SELECT count(*) FROM tidemark.next_changes('app', timeout => '1 minute');
-- one row a key, and groups by a key: the key is the view's, unless another is given
CREATE VIEW latest AS SELECT DISTINCT ON (k) t, k, v FROM s ORDER BY k, t DESC;
CREATE VIEW sums AS SELECT k, sum(v) AS total FROM s GROUP BY k;
SELECT tidemark.make_continuous('latest'), tidemark.make_continuous('sums');
SELECT tidemark.wait_until_maintained('latest'), tidemark.wait_until_maintained('sums');
SELECT tidemark.create_subscription('latest', 'latest', retention_rows => 10);
SELECT tidemark.create_subscription('sums', 'sums', start_at => 'now'), tidemark.create_subscription('sums', 'all_sums');
SELECT op, row, old_row FROM tidemark.next_changes('latest');
INSERT INTO s VALUES (11, 0, 1), (12, 2, 1);
SELECT tidemark.wait_until_maintained('latest'), tidemark.wait_until_maintained('sums');
DELETE FROM s WHERE t = 9;
UPDATE s SET v = 5 WHERE t = 7;
SELECT op, row, old_row FROM tidemark.next_changes('latest');
SELECT op, row, old_row FROM tidemark.next_changes('latest', 1);
SELECT tidemark.acknowledge('latest', max(position)) FROM tidemark.next_changes('latest');
SELECT op, row, old_row FROM tidemark.next_changes('sums');
SELECT op, row, old_row FROM tidemark.next_changes('all_sums');
SELECT subscription, key, state, acknowledged_up_to, changes, lag_rows, kept_corrections FROM tidemark.subscriptions WHERE view <> 'counts'::regclass ORDER BY 1;
SELECT * FROM tidemark.verify('latest');
SELECT * FROM tidemark.verify('sums');
DROP VIEW latest, sums CASCADE;
-- sessions, when they are over; and as they go on
CREATE VIEW visits AS SELECT k, start, max(t) AS until, sum(v) AS total FROM (SELECT *, tidemark.session(t, 5) OVER (PARTITION BY k ORDER BY t) AS start FROM s) x GROUP BY k, start;
CREATE VIEW open_visits AS SELECT k, start, max(t) AS until, sum(v) AS total FROM (SELECT *, tidemark.session(t, 5) OVER (PARTITION BY k ORDER BY t) AS start FROM s) x GROUP BY k, start;
SELECT tidemark.make_continuous('visits'), tidemark.make_continuous('open_visits', 'arrival');
SELECT tidemark.wait_until_maintained('visits'), tidemark.wait_until_maintained('open_visits');
SELECT tidemark.create_subscription('visits', 'visits'), tidemark.create_subscription('open_visits', 'open_visits');
SELECT op, row, old_row FROM tidemark.next_changes('visits') UNION ALL SELECT 'open ' || op, row, old_row FROM tidemark.next_changes('open_visits') ORDER BY op, row;
SELECT tidemark.acknowledge(name, position) FROM (SELECT 'visits' AS name, max(position) AS position FROM tidemark.next_changes('visits') UNION ALL SELECT 'open_visits', max(position) FROM tidemark.next_changes('open_visits')) taken WHERE position IS NOT NULL;
INSERT INTO s VALUES (13, 2, 5), (21, 2, 6), (23, 0, 7);
SELECT tidemark.wait_until_maintained('visits'), tidemark.wait_until_maintained('open_visits');
SELECT op, row, old_row FROM tidemark.next_changes('visits') UNION ALL SELECT 'open ' || op, row, old_row FROM tidemark.next_changes('open_visits') ORDER BY op, row;
SELECT tidemark.acknowledge(name, position) FROM (SELECT 'visits' AS name, max(position) AS position FROM tidemark.next_changes('visits') UNION ALL SELECT 'open_visits', max(position) FROM tidemark.next_changes('open_visits')) taken WHERE position IS NOT NULL;
-- a late row joins two of them, and goes
INSERT INTO s VALUES (17, 2, 8);
SELECT op, row, old_row FROM tidemark.next_changes('visits') UNION ALL SELECT 'open ' || op, row, old_row FROM tidemark.next_changes('open_visits') ORDER BY op, row;
DELETE FROM s WHERE t IN (13, 17);
SELECT op, row, old_row FROM tidemark.next_changes('visits') UNION ALL SELECT 'open ' || op, row, old_row FROM tidemark.next_changes('open_visits') ORDER BY op, row;
SELECT count(*) FROM tidemark.verify('visits') UNION ALL SELECT count(*) FROM tidemark.verify('open_visits');
DROP VIEW visits, open_visits CASCADE;
-- rows that are kept for a while: each once, and what expires doesn't go
CREATE VIEW once AS SELECT DISTINCT ON (k) k, t, v FROM s ORDER BY k, t;
SELECT tidemark.make_continuous('once', dedup_for => '10');
SELECT tidemark.wait_until_maintained('once');
SELECT tidemark.create_subscription('once', 'once');
SELECT op, row, old_row FROM tidemark.next_changes('once') ORDER BY op, row;
SELECT tidemark.acknowledge('once', max(position)) FROM tidemark.next_changes('once');
INSERT INTO s SELECT i, i % 2, i FROM generate_series(30, 70, 5) i;
SELECT tidemark.wait_until_maintained('once');
SELECT op, row, old_row FROM tidemark.next_changes('once') ORDER BY op, row;
SELECT tidemark.acknowledge('once', max(position)) FROM tidemark.next_changes('once');
-- a late row that precedes the kept one, one that is covered, one before what the view shows
INSERT INTO s VALUES (64, 1, 64), (66, 1, 66), (25, 1, 25);
SELECT op, row, old_row FROM tidemark.next_changes('once') ORDER BY op, row;
SELECT count(*) FROM tidemark.verify('once');
DROP VIEW once CASCADE;
DELETE FROM s WHERE t > 12;
-- with the last subscription goes the log of corrections
SELECT tidemark.drop_subscription('app'), tidemark.drop_subscription('keyed');
SELECT count(*) FROM pg_class WHERE relname LIKE 'counts_changes%';
-- the view goes
SELECT tidemark.create_subscription('counts', 'app');
DROP VIEW counts CASCADE;
SELECT count(*) FROM tidemark.subscription;
-- hidden event time, many columns, a column of the row's name
CREATE VIEW wide AS SELECT k AS r, v AS c1, array_agg(v) OVER (ORDER BY t RANGE 5 PRECEDING) AS "Strange ""name""" FROM s;
SELECT tidemark.make_continuous('wide');
SELECT tidemark.create_subscription('wide', 'wide', key => '{r}');
SELECT row FROM tidemark.next_changes('wide', timeout => '1 minute') LIMIT 1;
DROP TABLE s CASCADE;
SELECT count(*) FROM tidemark.subscription;
DROP OWNED BY feed_owner, feed_reader, feed_other;
DROP ROLE feed_owner, feed_reader, feed_other;
