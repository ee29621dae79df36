-- How many bids did somebody make in every 10 seconds?
SELECT bidder, count(*) AS bid_count, date_bin('10 seconds', "dateTime", timestamp '2000-01-01') AS starttime,
       date_bin('10 seconds', "dateTime", timestamp '2000-01-01') + interval '10 seconds' AS endtime
  FROM bid GROUP BY bidder, starttime
