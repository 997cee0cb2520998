-- Ask whether the server at the other end of a silent connection is still there. No table is read.
SELECT 1;
