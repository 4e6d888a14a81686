"""pytest plugins that hold the suite's promises: nothing leaks, nothing hangs."""
