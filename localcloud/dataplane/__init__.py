"""What makes the embedded cloud alive: tasks as processes, real HTTP, health, metrics, alarms, scaling."""
