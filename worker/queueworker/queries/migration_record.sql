-- Note an applied migration.
INSERT INTO queueworker.migration (version, name, checksum)
VALUES (%(version)s::int, %(name)s::text, %(checksum)s::text)
