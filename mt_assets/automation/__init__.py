"""When the graph runs: jobs, schedules and sensors."""
