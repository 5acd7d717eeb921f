"""The kinds of report, one module each: what its record holds, how it is made of a log, how people read it."""
