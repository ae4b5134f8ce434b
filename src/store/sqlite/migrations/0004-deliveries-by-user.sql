-- Each user's pending deliveries are read apart, so that thousands of one user hide none of another. Holds pending ones only.
CREATE INDEX deliveries_pending_by_user ON deliveries (user, next_at) WHERE status = 'pending';
DROP INDEX deliveries_pending;
