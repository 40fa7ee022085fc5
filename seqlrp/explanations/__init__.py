"""The record of one explained text: its fields, files, data frames, merged units and summaries."""
