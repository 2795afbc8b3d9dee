"""What `thalweg evaluate` computes of a run: functions of the run and its data that give tables by name."""
