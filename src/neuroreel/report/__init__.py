"""Reports: results as a page that opens anywhere."""

from __future__ import annotations

from neuroreel.report.page import write_report

__all__ = ["write_report"]
