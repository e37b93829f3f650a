"""Reports: pure functions from stored rows to tables, figures and a page."""

from reports.page import write
from reports.study import Study

__all__ = ["Study", "write"]
