"""Starting, ending and guarding processes, and the ports they use."""
