-- The highest bids of every 10 seconds.
SELECT auction, price, bidder, "dateTime", extra
  FROM (SELECT *, rank() OVER (PARTITION BY date_bin('10 seconds', "dateTime", timestamp '2000-01-01') ORDER BY price DESC) AS place
          FROM bid) ranked
 WHERE place = 1
