"""The operator half: reads queue lag from Postgres, decides, scales, explains."""
