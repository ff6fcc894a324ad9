"""Pictures: every panel of headflow-plot as a function."""
