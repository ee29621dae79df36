-- The ten highest bids on each auction.
SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM bid) ranked WHERE place <= 10
