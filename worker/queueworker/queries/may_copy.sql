-- May this role copy jobs? NULL where the schema is older.
SELECT has_function_privilege(
  to_regprocedure('queueworker.reserve_positions(text, text, integer, integer, double precision, integer)'),
  'EXECUTE'
)
