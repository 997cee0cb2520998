"""Who may do what with each object of the schema, as the database's catalogue says."""

import re
from typing import Any

import psycopg

Rights = dict[str, set[str]]
"""role -> "PRIVILEGE object" or "PRIVILEGE object(column)"."""

GRANTS = """
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = 'queueworker'),
granted AS (
  SELECT p.proname::text AS object, NULL AS part, p.proowner AS owner,
    coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
  FROM pg_proc AS p JOIN ours ON p.pronamespace = ours.oid
  UNION ALL
  SELECT c.relname::text, NULL, c.relowner,
    coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
  FROM pg_class AS c JOIN ours ON c.relnamespace = ours.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  UNION ALL
  SELECT c.relname::text, a.attname::text, c.relowner, a.attacl
  FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN ours ON c.relnamespace = ours.oid
  WHERE a.attacl IS NOT NULL
)
SELECT DISTINCT coalesce(r.rolname::text, 'PUBLIC'), e.privilege_type, g.object, g.part
FROM granted AS g CROSS JOIN LATERAL aclexplode(g.acl) AS e LEFT JOIN pg_roles AS r ON r.oid = e.grantee
WHERE e.grantee <> g.owner
"""


def granted(conn: psycopg.Connection[Any]) -> Rights:
    """Read every right on every function, table, view and sequence, except the owner's."""
    rights: Rights = {}
    for role, privilege, name, column in conn.execute(GRANTS).fetchall():
        # Objects of one queue or one day have its number; their rights are those of their kind.
        kind = re.sub(r"(?<=_q)\d+$|(?<=_)\d{8}$", "N", name)
        right = f"{privilege} {kind}({column})" if column else f"{privilege} {kind}"
        rights.setdefault(role.removeprefix("queueworker_"), set()).add(right)
    return rights
