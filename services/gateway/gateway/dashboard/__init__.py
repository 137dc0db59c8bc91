"""What operators see and do: figures that reconcile, rows, users, flags, queues."""
