-- Bids of some prices, with the time of day by its name and a count of letters.
SELECT auction, bidder, 0.908 * price AS price,
       CASE WHEN extract(hour FROM "dateTime") BETWEEN 8 AND 18 THEN 'dayTime'
            WHEN extract(hour FROM "dateTime") <= 6 OR extract(hour FROM "dateTime") >= 20 THEN 'nightTime'
            ELSE 'otherTime' END AS bid_time_type,
       "dateTime", extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
  FROM bid
 WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000
