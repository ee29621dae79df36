-- Hot items: which auctions had the most bids in the last 10 seconds, every 2 seconds?
SELECT auction, num, window_start
  FROM (SELECT auction, count(*) AS num, window_start, max(count(*)) OVER (PARTITION BY window_start) AS most
          FROM bid, tidemark.hop("dateTime", interval '2 seconds', interval '10 seconds')
         GROUP BY auction, window_start, window_end) counted
 WHERE num = most
