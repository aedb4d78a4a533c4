"""The export formats, a module each as ``ltfix.exporting.opened.ExportFormat`` describes it."""
