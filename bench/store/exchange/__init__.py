"""Databases that travel: exports of this program's own campaigns, and results of other tools."""

from __future__ import annotations

from bench.store.exchange.exporting import Exported, export_folder
from bench.store.exchange.foreign import TOOLS, ForeignFile, ForeignImported, import_foreign, read_foreign
from bench.store.exchange.importing import Imported, import_folder
from bench.store.exchange.layout import MANIFEST, Encoding, Export, open_export

__all__ = [
    "MANIFEST",
    "TOOLS",
    "Encoding",
    "Export",
    "Exported",
    "ForeignFile",
    "ForeignImported",
    "Imported",
    "export_folder",
    "import_folder",
    "import_foreign",
    "open_export",
    "read_foreign",
]
