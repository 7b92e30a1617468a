"""What a BERT is asked to do: one task, one file, and the file's name is the task's."""
