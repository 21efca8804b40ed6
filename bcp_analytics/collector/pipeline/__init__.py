"""From record() to the database: buffer, batches, attempts, the thread that sends, and its books."""
