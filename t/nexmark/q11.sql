-- Sessions: how many bids did somebody make before a pause of 10 seconds?
SELECT bidder, count(*) AS bid_count, session AS starttime, max("dateTime") + interval '10 seconds' AS endtime
  FROM (SELECT bidder, "dateTime", tidemark.session("dateTime", interval '10 seconds') OVER (PARTITION BY bidder ORDER BY "dateTime") AS session
          FROM bid) in_sessions
 GROUP BY bidder, session
