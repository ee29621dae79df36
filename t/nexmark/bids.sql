-- Nexmark's stream of bids, and what makes them.
--
-- Nexmark (Tucker, Tufte, Papadimos, Maier: "NEXMark, a benchmark for queries over data streams", 2002; its generator's proportions
-- as Apache Beam and Apache Flink publish them) is an online auction: of 50 events 1 is a new person, 3 are new auctions, 46 are
-- bids. Here are the bids; persons and auctions are numbers that grow with them.
--
--   auction     every second bid is on a hot auction, which is the newest whose number divides by 100; the others are on
--               one of the newest 100, or one of 10 that don't exist yet
--   bidder      three of four bids are a hot bidder's (the newest whose number divides by 100, plus 1); the others are of one of the
--               newest 1,000, or one of 10 that don't exist yet
--   price       between 100 and 100,000,000 cents, the logarithm uniform
--   channel     every second bid comes by one of four hot channels, the others by one of 10,000, of which nine in ten give their
--               number in the url
--
-- A bid is a function of its number: there is no random state, so any part of the stream can be made by itself, and every run has the
-- same one. Bids come in the order of their numbers, at `rate` of them a second of event time; of 100 bids five are out of order: four
-- up to `disorder` late, one up to ten times as much.
CREATE TABLE bid (auction bigint, bidder bigint, price bigint, channel text, url text, "dateTime" timestamp(3), extra text);

CREATE FUNCTION nexmark_random(number bigint, what int) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(number, what) & 9007199254740991) / 9007199254740992.0::double precision;

CREATE FUNCTION nexmark_bids(first bigint, last bigint, begins timestamp, rate int, disorder interval) RETURNS SETOF bid
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT 1000 + CASE WHEN nexmark_random(n, 1) < 0.5 THEN newest_auction / 100 * 100
	                   ELSE floor(greatest(newest_auction - 99, 0) + nexmark_random(n, 2) * (least(newest_auction, 99) + 11))::bigint END,
	       1000 + CASE WHEN nexmark_random(n, 3) < 0.75 THEN newest_person / 100 * 100 + 1
	                   ELSE floor(greatest(newest_person - 999, 0) + nexmark_random(n, 4) * (least(newest_person, 999) + 11))::bigint END,
	       round(100 * 10 ^ (6 * nexmark_random(n, 5)))::bigint,
	       CASE WHEN hot_channel THEN (ARRAY['Apple', 'Google', 'Facebook', 'Baidu'])[channel_number % 4 + 1]
	            ELSE 'channel-' || channel_number END,
	       'https://www.nexmark.com/' || substr(md5(channel_number::text), 1, 5) || '/' || substr(md5(channel_number::text), 6, 5) || '/'
	            || substr(md5(channel_number::text), 11, 5) || '/item.htm?query=1'
	            || CASE WHEN NOT hot_channel AND channel_number % 10 > 0 THEN '&channel_id=' || channel_number ELSE '' END,
	       begins + n * 1000 / rate * interval '1 millisecond'
	            - CASE WHEN nexmark_random(n, 8) < 0.01 THEN 10 * nexmark_random(n, 9) * disorder
	                   WHEN nexmark_random(n, 8) < 0.05 THEN nexmark_random(n, 9) * disorder
	                   ELSE interval '0' END,
	       left(md5(n::text) || md5((-n)::text), 20 + (n % 20)::int)
	  FROM (SELECT n, n / 46 * 3 + 2 AS newest_auction, n / 46 AS newest_person, nexmark_random(n, 6) < 0.5 AS hot_channel,
	               floor(nexmark_random(n, 7) * 10000)::int AS channel_number
	          FROM generate_series(first, last) n) numbered;
END;
