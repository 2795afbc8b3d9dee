"""What a lab runs for long: servers under one supervisor, schedules on them, and what tells how they are."""
