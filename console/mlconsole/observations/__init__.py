"""The store of predictions as they were really made: raw rows for a week, and summaries of ten seconds that answer health's questions."""

from mlconsole.observations.applog import ApplicationLog, Passed, application_log
from mlconsole.observations.store import Row, Store, StoredWindow, open_store
from mlconsole.observations.summarising import output_hash, token

__all__ = ["ApplicationLog", "Passed", "Row", "Store", "StoredWindow", "application_log", "open_store", "output_hash", "token"]
