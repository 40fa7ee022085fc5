"""The results of an evaluation: values, verdict, tables, plots, files, and the report on top."""
