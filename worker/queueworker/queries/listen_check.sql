-- Whether the server that is listened to may still be written to; a demoted primary may not.
SELECT current_setting('transaction_read_only') = 'on'
